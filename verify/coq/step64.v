(* One step of a block in binary64, update and projection included, for the number of examples of the certificate. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core BinarySingleNaN.
From Interval Require Import Float.Sig.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding floats products binary64 update clip.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

(* eta, the offsets of s, and the faces at which weights are clipped. *)
Record update_data := Update { rate : Q; above_s : list Q; faces : list Q }.

Open Scope Q_scope.
Definition factor_q (o : machine_data) (d : update_data) : Q := rate d * of_nat (tokens o) / (2 * of_nat (tokens o - 1)).

(* The largest weight before it is clipped; what rounding of the clip moves one by; and that beside the distance of two projections. *)
Definition reached_q (c : data) (d : update_data) (j : nat) : Q := qhalf (L c j) + rate d * (nth j (above_s d) 0 * nth j (ps c) 0 / 2 + qeu (L c j)).
Definition turn_q (c : data) (d : update_data) (j : nat) : Q := 3 * uQ * reached_q c d j.
Definition gap_q (c : data) (d : update_data) (j : nat) : Q := qhalf (L c j) - nth j (faces d) 0 + turn_q c d j.

Definition update_fits (c : data) (o : machine_data) (d : update_data) (j : nat) : bool :=
  let l := L c j in let T := tokens o in let above := nth j (above_s d) 0 in let r0 := nth j (roots c) 0 in let r1 := nth (S j) (roots c) 0 in
  let sc := factor_q o d in let P := nth j (ps c) 0 in let face := nth j (faces d) 0 in
  let room := 4 * uQ * (r1 * r0 * qhalf l) in let gap := gap_q c d j * (r1 * r0) in
  le 0 face && fits_in 2 3 (reached_q c d j) (turn_q c d j) && le (turn_q c d j) (qhalf l - face) && stays_finite 4 2 3 (reached_q c d j) &&
  le 0 above && le 0 (qD l) && le 0 P && le (qD l * qG l + qex l) above && fits_in 3 0 (r1 * r0 * qhalf l) room &&
  fits_in (T + 12) (6 * sc * P * r1 + (8 * above + 26) * (r1 * r0)) (5 * above * sc * P * r1) (rate d * qeu l - room - gap) &&
  stays_finite (of_nat T) (T + 12) (8 * above + 6 * (sc * P) + 26) (5 * above * (sc * P) + qhalf l) &&
  stays_finite 1 5 6 ((1 + above) * (sc * P) + 4 * above).
Definition rate_fits (o : machine_data) (d : update_data) : bool := Nat.ltb 1 (tokens o) && negb (le (rate d) 0) && le 0 (factor_q o d).
Close Scope Q_scope.

(** Means over tokens of vectors. *)
Lemma norm_average m T f b : (0 < T)%nat -> (forall t, (t < T)%nat -> norm m (f t) <= b) -> norm m (fun i => average T (fun t => f t i)) <= b.
Proof.
  intros HT H. assert (I := lt_0_INR T HT).
  assert (K : forall l, (forall t, In t l -> norm m (f t) <= b) -> norm m (fun i => total (map (fun t => f t i) l)) <= INR (length l) * b).
  { induction l as [| t l IH]; intros Hl; cbn [map total length].
    - rewrite (norm_ext m _ (fun i => 0 * f 0%nat i)) by (intros; ring). rewrite norm_scal, Rabs_R0. simpl. lra.
    - rewrite S_INR. eapply Rle_trans. apply norm_triangle. assert (A := Hl t (or_introl eq_refl)). assert (B := IH ltac:(intros; apply Hl; now right)). lra. }
  unfold average. rewrite (norm_ext m _ (fun i => / INR T * total (map (fun t => f t i) (seq 0 T)))) by (intros; unfold Rdiv; ring).
  rewrite norm_scal, Rabs_pos_eq by (apply Rlt_le, Rinv_0_lt_compat; exact I).
  specialize (K (seq 0 T) ltac:(intros t Ht; apply in_seq in Ht; apply H; lia)). rewrite seq_length in K.
  apply Rmult_le_reg_l with (INR T); auto. rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l by lra. exact K.
Qed.

Definition mask (n t : nat) : R := if Nat.ltb t n then 1 else 0.

Lemma masked_average n f c : (0 < n)%nat -> average (S n) (fun t => mask n t * f t * c) = c * INR n / INR (S n) * (/ INR n * sum n f).
Proof.
  intros Hn. unfold average. rewrite seq_S, map_app, total_app. cbn [map total plus]. unfold mask at 2. rewrite Nat.ltb_irrefl.
  assert (E : forall m, (m <= n)%nat -> total (map (fun t => mask n t * f t * c) (seq 0 m)) = c * sum m f).
  { induction m as [| m IH]; intros Hm; [cbn; ring |]. rewrite seq_S, map_app, total_app, IH by lia. cbn [map total plus sum]. unfold mask.
    rewrite (proj2 (Nat.ltb_lt m n)) by lia. ring. }
  rewrite E by lia. field. split; apply not_0_INR; lia.
Qed.

Section Step.
Variables (c : data) (o : machine_data) (e : update_data).
Notation e_ f := (fun j => Q2R (f (L c j))).
Hypothesis rg : its_ranges c.
Hypothesis lm : its_lemmas c.
Hypothesis all_round : forall j, (j < N c)%nat -> rounding_fits c o j = true.
Hypothesis all_update : forall j, (j < N c)%nat -> update_fits c o e j = true.
Hypothesis rate_ok : rate_fits o e = true.
Hypothesis signs : 0 <= rho c.

Variable V : nat -> nat -> nat -> R.
Hypothesis box : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j.
Variables (n : nat) (X Y : nat -> nat -> R) (p z d g s : nat -> nat -> nat -> R).
Hypothesis examples : S n = tokens o.
Hypothesis inside : forall t, (t < S n)%nat -> norm (dim c 0) (X t) <= P c 0 /\ norm (dim c (N c)) (Y t) <= B_y c /\
  float_pass c o (S n) V (X t) (Y t) (p t) (z t) (d t) (g t) (s t).

Definition eta : R := Q2R (rate e).
Definition scale : R := - eta * INR (S n) / (2 * INR n).
Definition offset_s (j : nat) : R := Q2R (nth j (above_s e) 0%Q).
Definition face (j : nat) : R := Q2R (nth j (faces e) 0%Q).

Lemma n_pos : (0 < n)%nat /\ 0 < eta /\ Rabs scale = Q2R (factor_q o e) /\ 0 <= Q2R (factor_q o e).
Proof.
  assert (H := rate_ok). unfold rate_fits in H. apply andb_true_iff in H; destruct H as [H H2]. apply andb_true_iff in H; destruct H as [H0 H1].
  apply Nat.ltb_lt in H0. assert (Hn : (0 < n)%nat) by lia. apply Qle_R in H2. rewrite RMicromega.Q2R_0 in H2.
  assert (He : 0 < eta). { unfold eta. apply negb_true_iff in H1. unfold le in H1. assert (~ (rate e <= 0)%Q) by (rewrite <- Qle_bool_iff; congruence).
    apply Qnot_le_lt, Qlt_Rlt in H. now rewrite RMicromega.Q2R_0 in H. }
  split; [exact Hn |]. split; [exact He |]. split; [| exact H2].
  assert (In := lt_0_INR n Hn). assert (Is := lt_0_INR (S n) ltac:(lia)).
  assert (E : Q2R (factor_q o e) = eta * INR (S n) / (2 * INR n)).
  { unfold factor_q. rewrite <- examples. replace (S n - 1)%nat with n by lia.
    assert (Nz : ~ (2 * of_nat n == 0)%Q).
    { intros Hz. apply Qeq_eqR in Hz. rewrite Q2R_mult, of_nat_ok, RMicromega.Q2R_0 in Hz. replace (Q2R 2) with 2 in Hz by (unfold Q2R; simpl; lra). lra. }
    rewrite Q2R_div, !Q2R_mult, !of_nat_ok by exact Nz. replace (Q2R 2) with 2 by (unfold Q2R; simpl; lra). reflexivity. }
  rewrite E. unfold scale. replace (- eta * INR (S n) / (2 * INR n)) with (- (eta * INR (S n) / (2 * INR n))) by (field; lra).
  rewrite Rabs_Ropp, Rabs_pos_eq; [reflexivity |]. apply Rlt_le. apply Rdiv_lt_0_compat; nra.
Qed.

Lemma token_ranges t j : (t < S n)%nat -> (j < N c)%nat -> norm (dim c j) (p t j) <= P c j /\
  forall k, (k < dim c (S j))%nat -> Rabs (s t j k) <= Q2R (qD (L c j)) * G c j + Q2R (qex (L c j)).
Proof.
  intros Ht Hj. destruct (inside t Ht) as (Hx & Hy & Hf).
  assert (B : block_pass (N c) (dim c) V (rhat c) (dhat c) (product c) (uhat c) (direct c) (rho c) (sigma c) (wz c) (wr c) (wd c) (wx c) (wg c)
    (Z c) (DL c) (DH c) (G c) (X t) (Y t) (p t) (z t) (d t) (g t) (s t)).
  { eapply (floats_within c o); try eassumption. lia. }
  assert (Near : near_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg)
    (Z c) (DL c) (DH c) (G c) (X t) (Y t) (p t) (z t) (d t) (g t) (s t)) by (eapply block_near; [exact lm | exact Hy | exact B]).
  split.
  - exact (p_range _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg box _ _ _ _ _ _ _ Near Hx j ltac:(lia)).
  - intros k Hk.
    destruct (d_in _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg box _ _ _ _ _ _ _ Near Hx j k Hj Hk) as [D1 D2].
    destruct (gs_range _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg box _ _ _ _ _ _ _ Near Hx Hy j Hj) as [Hg _].
    destruct Near as (_ & Q & _). destruct (Q j k Hj Hk) as (_ & _ & _ & Hs). specialize (Hs D1 (Hg k Hk)).
    replace (s t j k) with (d t j k * g t j k + (s t j k - d t j k * g t j k)) by ring. apply Rabs_sum2; [| exact Hs].
    rewrite Rabs_mult. apply Rmult_le_compat; auto using Rabs_pos.
Qed.

Variable W : nat -> nat -> nat -> float.
Hypothesis heads : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
  updated (S n) (fun t => s t j k) (fun t => p t j i) (mask n) (offset_s j) scale (V j k i) (W j k i).

Definition reached (j : nat) : R := half c j + eta * (offset_s j * P c j / 2 + eu c j).
Definition turn (j : nat) : R := 3 * u * reached j.
Definition gap (j : nat) : R := half c j - face j + turn j.

Lemma gaps_ok j : Q2R (reached_q c e j) = reached j /\ Q2R (turn_q c e j) = turn j /\ Q2R (gap_q c e j) = gap j.
Proof.
  assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). assert (E3 : Q2R 3 = 3) by (unfold Q2R; simpl; lra).
  assert (R1 : Q2R (reached_q c e j) = reached j).
  { unfold reached_q. rewrite Q2R_plus, Q2R_mult, Q2R_plus, Q2R_div, Q2R_mult, E2 by (unfold Qeq; simpl; lia). reflexivity. }
  assert (T1 : Q2R (turn_q c e j) = turn j). { unfold turn_q. now rewrite !Q2R_mult, uQ_ok, E3, R1. }
  repeat split; auto. unfold gap_q. now rewrite Q2R_plus, Q2R_minus, T1.
Qed.

Lemma clip_fits j : (j < N c)%nat -> Q2R (qD (L c j)) * G c j + Q2R (qex (L c j)) <= offset_s j /\ 0 <= P c j /\ 0 <= face j /\ 0 <= reached j /\ off 2 3 (reached j) <= turn j /\
  0 <= turn j <= half c j - face j /\ 4 * (reached j + w) < huge.
Proof.
  intros Hj. assert (U := u_pos). assert (Wp := w_pos). assert (H := all_update j Hj). unfold update_fits in H. cbv zeta in H.
  do 4 (apply andb_true_iff in H; destruct H as [H _]). apply andb_true_iff in H; destruct H as [H Above]. apply andb_true_iff in H; destruct H as [H HP]. apply andb_true_iff in H; destruct H as [H _].
  apply andb_true_iff in H; destruct H as [H _]. apply andb_true_iff in H; destruct H as [H Hbig]. apply andb_true_iff in H; destruct H as [H Hturn]. apply andb_true_iff in H; destruct H as [H0 Hfit].
  apply Qle_R in H0, Above, HP, Hturn. rewrite Q2R_plus, Q2R_mult in Above. apply fits_in_ok in Hfit. apply stays_finite_ok in Hbig. destruct Hfit as (_ & F0 & F1).
  assert (E0 : Q2R 0 = 0) by apply RMicromega.Q2R_0. assert (E3 : Q2R 3 = 3) by (unfold Q2R; simpl; lra).
  assert (E4 : Q2R 4 = 4) by (unfold Q2R; simpl; lra). destruct (gaps_ok j) as (Er & Et & _). rewrite Er, ?Et, ?E0, ?E3, ?E4 in *. rewrite Q2R_minus in Hturn.
  fold (offset_s j) (P c j) (face j) (half c j) in *.
  assert (Q := grow 2 2 (Nat.le_refl _)). assert (Off : 0 <= off 2 3 (reached j)).
  { unfold off. assert (0 <= ((1 + u) ^ 2 - 1) * reached j + (1 + u) ^ 2 * (3 * w)); [| lra]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  repeat split; auto; try lra. eapply Rle_lt_trans; [| exact Hbig]. apply Rmult_le_compat_l; [lra |]. rewrite <- (Rmult_1_l (reached j + w)). apply Rmult_le_compat; lra.
Qed.

Theorem update_within j : (j < N c)%nat -> (forall k i, (k < dim c (S j))%nat -> (i < dim c j)%nat -> is_finite (W j k i) = true) /\ frob (dim c (S j)) (dim c j)
  (fun k i => (V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2))
  + gap j * (root c (S j) * root c j) / eta <= eu c j.
Proof.
  intros Hj. destruct n_pos as (Hn & He & Hsc & Hf). assert (U := u_pos). assert (Wp := w_pos). 
  assert (H := all_update j Hj). unfold update_fits in H. cbv zeta in H.
  apply andb_true_iff in H; destruct H as [H Fin2]. apply andb_true_iff in H; destruct H as [H Fin1]. apply andb_true_iff in H; destruct H as [H Room1].
  apply andb_true_iff in H; destruct H as [H Room2]. apply andb_true_iff in H; destruct H as [H Above]. apply andb_true_iff in H; destruct H as [H HP]. apply andb_true_iff in H; destruct H as [H HD]. apply andb_true_iff in H; destruct H as [_ HO].
  apply Qle_R in HD, HP, Above. apply fits_in_ok in Room1, Room2. apply stays_finite_ok in Fin1, Fin2.
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E0 : Q2R 0 = 0) by apply RMicromega.Q2R_0.
  assert (Num : forall m : BinNums.positive, Q2R (inject_Z (Zpos m)) = IZR (Zpos m)) by (intros; unfold Q2R; simpl; lra).
  change 4%Q with (inject_Z 4) in *. change 5%Q with (inject_Z 5) in *. change 6%Q with (inject_Z 6) in *. change 8%Q with (inject_Z 8) in *. change 26%Q with (inject_Z 26) in *. change 2%Q with (inject_Z 2) in *.
  destruct Room1 as (_ & _ & R1). destruct Room2 as (_ & _ & R2).
  rewrite ?Q2R_minus, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Num, ?E1, ?E0, ?of_nat_ok, ?uQ_ok, ?Rmult_1_l in *.
  rewrite (proj2 (proj2 (gaps_ok j))) in R1. rewrite <- examples in *. fold (offset_s j) (face j) (root c j) (root c (S j)) (half c j) (P c j) (G c j) (eu c j) eta in *. rewrite <- Hsc in *.
  set (sc := Rabs scale) in *. set (off_ := offset_s j) in *. set (r0 := root c j) in *. set (r1 := root c (S j)) in *. set (Pj := P c j) in *. set (T := S n) in *.
  destruct (root_of c rg j ltac:(lia)) as [R00 R01]. destruct (root_of c rg (S j) ltac:(lia)) as [R10 R11]. destruct (signs_of c rg j Hj) as (Hh & _ & _ & _ & Hex & _).
  fold r0 in R00, R01. fold r1 in R10, R11.
  assert (O0 : 0 <= off_).
  { unfold off_, offset_s. rewrite <- E0. now apply Qle_R. }
  assert (Pc : forall t i, (t < T)%nat -> (i < dim c j)%nat -> Rabs (p t j i) <= Pj).
  { intros t i Ht Hi. eapply Rle_trans; [apply (norm_coordinate (dim c j) (p t j)); exact Hi |]. now apply (token_ranges t j). }
  set (avg := fun i => average T (fun t => Rabs (p t j i))).
  assert (HT : (0 < T)%nat) by (unfold T; lia).
  set (c0 := (1 + u) ^ 3 - 1). set (q := (1 + u) ^ (T + 12)) in *.
  assert (Q1 : 1 <= q) by (unfold q; apply (grow (T + 12) (T + 12)); lia). assert (C0 : 0 <= c0) by (unfold c0; generalize (grow 3 3 (Nat.le_refl _)); lra).
  set (c1 := ((q - 1) * (5 * off_) + q * (6 * w)) * sc). set (c2 := q * (8 * off_ * w + 12 * w * w + 14 * w)).
  assert (SC : 0 <= sc) by (unfold sc; apply Rabs_pos).
  assert (C1 : 0 <= c1). { unfold c1. apply Rmult_le_pos; [| exact SC]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (C2 : 0 <= c2). { unfold c2. apply Rmult_le_pos; [lra |]. assert (0 <= off_ * w) by nra. assert (0 <= w * w) by nra. lra. }
  assert (Entry : forall k i, (k < dim c (S j))%nat -> (i < dim c j)%nat -> is_finite (W j k i) = true /\
    Rabs ((V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2)) <= / eta * (c0 * Rabs (V j k i) + c1 * avg i + c2)).
  { intros k i Hk Hi. assert (VB := box j k i Hj Hk Hi).
    destruct (update_ok T (fun t => s t j k) (fun t => p t j i) (mask n) off_ scale (V j k i) (W j k i) Pj HT (heads j k i Hj Hk Hi) O0) as [Fw Eu].
    - intros t Ht. split; [| split].
      + eapply Rle_trans; [now apply (token_ranges t j) |]. exact Above.
      + unfold mask. destruct (Nat.ltb t n); [now right | now left].
      + now apply Pc.
    - fold sc. eapply Rle_lt_trans; [| exact Fin1]. apply Rmult_le_compat_l; [apply pos_INR |]. fold q. apply Rmult_le_compat_l; [lra |].
      assert (0 <= sc * Pj) by (apply Rmult_le_pos; lra). assert (w <= 1). { unfold machine.w. change 1 with (bpow radix2 0). assert (bpow radix2 (-1074) <= bpow radix2 0) by (apply bpow_le; lia). generalize (bpow_gt_0 radix2 (-1074)). lra. }
      assert (12 * w * w <= 12 * w) by nra. nra.
    - fold sc. eapply Rle_lt_trans; [| exact Fin2]. apply Rmult_le_compat_l; [generalize (grow 5 5 (Nat.le_refl _)); lra |]. lra.
    - split; [exact Fw |]. cbv zeta in Eu. fold sc (avg i) q in Eu.
      assert (Avg : average T (fun t => mask n t * s t j k * scale * p t j i) = - eta * (/ INR n * sum n (fun t => s t j k * p t j i / 2))).
      { transitivity (average T (fun t => mask n t * (s t j k * p t j i / 2) * (2 * scale))).
        - unfold average. do 2 f_equal. apply map_ext. intros. field.
        - unfold T. rewrite masked_average by exact Hn. unfold scale. field. split; apply not_0_INR; lia. }
      rewrite Avg in Eu.
      replace ((V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2)) with
        (/ eta * - (value_of (W j k i) - (V j k i + - eta * (/ INR n * sum n (fun t => s t j k * p t j i / 2))))) by (field; split; [apply not_0_INR; lia | lra]).
      rewrite Rabs_mult, Rabs_Ropp, (Rabs_pos_eq (/ eta)) by (apply Rlt_le, Rinv_0_lt_compat; exact He).
      apply Rmult_le_compat_l; [apply Rlt_le, Rinv_0_lt_compat; exact He |]. eapply Rle_trans; [exact Eu |]. right. unfold c0, c1, c2. ring. }
  assert (Ones : norm (dim c (S j)) (fun _ => 1) <= r1).
  { rewrite <- (Rmult_1_r r1). apply norm_bound; auto; try lra. intros. rewrite Rabs_R1. lra. }
  assert (Ones0 : norm (dim c j) (fun _ => 1) <= r0).
  { rewrite <- (Rmult_1_r r0). apply norm_bound; auto; try lra. intros. rewrite Rabs_R1. lra. }
  assert (Avn : norm (dim c j) avg <= Pj).
  { unfold avg. apply (norm_average (dim c j) T (fun t i => Rabs (p t j i))); auto. intros t Ht. rewrite norm_abs. now apply (token_ranges t j). }
  assert (Avp : forall i, 0 <= avg i). { intros i. unfold avg. rewrite <- (average_const T 0 HT). apply average_le; auto. intros; apply Rabs_pos. }
  assert (Fr : frob (dim c (S j)) (dim c j) (fun k i => c0 * Rabs (V j k i) + c1 * avg i + c2) <= c0 * (r1 * (r0 * half c j)) + c1 * (r1 * Pj) + c2 * (r1 * r0)).
  { eapply Rle_trans. apply (frob_triangle _ _ (fun k i => c0 * Rabs (V j k i) + c1 * avg i) (fun _ _ => c2)). apply Rplus_le_compat.
    - eapply Rle_trans. apply (frob_triangle _ _ (fun k i => c0 * Rabs (V j k i)) (fun _ i => c1 * avg i)). apply Rplus_le_compat.
      + rewrite (frob_scal _ _ c0 (fun k i => Rabs (V j k i))), (Rabs_pos_eq c0) by exact C0. apply Rmult_le_compat_l; [exact C0 |].
        unfold frob. apply norm_bound; auto. apply Rmult_le_pos; auto. intros k Hk. rewrite Rabs_pos_eq by apply norm_nonneg.
        apply norm_bound; auto. intros i Hi. rewrite Rabs_Rabsolu. now apply box.
      + rewrite (frob_scal _ _ c1 (fun _ i => avg i)), (Rabs_pos_eq c1) by exact C1. apply Rmult_le_compat_l; [exact C1 |].
        rewrite (frob_ext _ _ _ (fun k i => 1 * avg i)) by (intros; ring). rewrite (frob_outer _ _ (fun _ => 1) avg). apply Rmult_le_compat; auto using norm_nonneg.
    - rewrite (frob_ext _ _ _ (fun k i => c2 * (1 * 1))) by (intros; ring). rewrite (frob_scal _ _ c2 (fun _ _ => 1 * 1)), (Rabs_pos_eq c2) by exact C2.
      apply Rmult_le_compat_l; [exact C2 |]. rewrite (frob_outer _ _ (fun _ => 1) (fun _ => 1)). apply Rmult_le_compat; auto using norm_nonneg. }
  split; [intros k i Hk Hi; now apply Entry |]. set (gap_ := gap j * (r1 * r0)) in *.
  assert (Main : frob (dim c (S j)) (dim c j) (fun k i => (V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2)) <=
    / eta * (c0 * (r1 * (r0 * half c j)) + c1 * (r1 * Pj) + c2 * (r1 * r0))).
  { eapply Rle_trans. unfold frob. apply norm_le. intros k Hk. rewrite Rabs_pos_eq by apply norm_nonneg. apply norm_le. intros i Hi. now apply Entry.
    fold (frob (dim c (S j)) (dim c j) (fun k i => / eta * (c0 * Rabs (V j k i) + c1 * avg i + c2))).
    rewrite frob_scal, (Rabs_pos_eq (/ eta)) by (apply Rlt_le, Rinv_0_lt_compat; exact He). apply Rmult_le_compat_l; [apply Rlt_le, Rinv_0_lt_compat; exact He | exact Fr]. }
  eapply Rle_trans. apply Rplus_le_compat_r. exact Main. apply Rmult_le_reg_l with eta; [exact He |].
  match goal with |- eta * (/ eta * ?x + gap_ / eta) <= _ => replace (eta * (/ eta * x + gap_ / eta)) with (x + gap_) by (field; lra) end.
  unfold off in R1, R2. fold q in R1. set (hh := r1 * r0 * half c j) in *.
  assert (W1 : w <= 1). { unfold machine.w. change 1 with (bpow radix2 0). assert (bpow radix2 (-1074) <= bpow radix2 0) by (apply bpow_le; lia). generalize (bpow_gt_0 radix2 (-1074)). lra. }
  assert (RR : 0 <= r1 * r0) by now apply Rmult_le_pos.
  assert (A0 : c0 * (r1 * (r0 * half c j)) <= 4 * u * hh).
  { replace (r1 * (r0 * half c j)) with hh by (unfold hh; ring). unfold c0. lra. }
  set (K := (6 * sc * Pj * r1 + (8 * off_ + 26) * (r1 * r0)) * w) in *. set (S5 := 5 * off_ * sc * Pj * r1) in *.
  assert (A1 : c1 * (r1 * Pj) + c2 * (r1 * r0) <= q * (S5 + K) - S5).
  { assert (E : q * (S5 + K) - S5 - (c1 * (r1 * Pj) + c2 * (r1 * r0)) = 12 * (q * (w * (r1 * r0)) * (1 - w))) by (unfold c1, c2, S5, K; ring).
    assert (0 <= q * (w * (r1 * r0)) * (1 - w)). { apply Rmult_le_pos; [| lra]. apply Rmult_le_pos; [lra |]. apply Rmult_le_pos; lra. } lra. }
  fold gap_ in R1. lra.
Qed.

(* Weights before the clip are finite, and in reach. *)
Lemma weights_reached j k i : (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
  is_finite (W j k i) = true /\ Rabs (value_of (W j k i)) <= reached j /\ half c j <= reached j.
Proof.
  intros Hj Hk Hi. destruct n_pos as (Hn & He & _). destruct (clip_fits j Hj) as (Above & P0 & _ & _ & _ & Turn & _). destruct (update_within j Hj) as [Fin Up].
  destruct (root_of c rg j ltac:(lia)) as [R00 _]. destruct (root_of c rg (S j) ltac:(lia)) as [R10 _]. assert (VB := box j k i Hj Hk Hi).
  assert (In := lt_0_INR n Hn). set (mean := fun k i => / INR n * sum n (fun t => s t j k * p t j i / 2)) in *.
  assert (Gap : 0 <= gap j * (root c (S j) * root c j) / eta).
  { unfold Rdiv. apply Rmult_le_pos; [| apply Rlt_le, Rinv_0_lt_compat; exact He]. assert (0 <= root c (S j) * root c j) by now apply Rmult_le_pos. apply Rmult_le_pos; unfold gap; lra. }
  assert (E : Rabs ((V j k i - value_of (W j k i)) / eta - mean k i) <= eu c j).
  { apply Rle_trans with (frob (dim c (S j)) (dim c j) (fun k i => (V j k i - value_of (W j k i)) / eta - mean k i)); [| match type of Up with ?a + _ <= _ => change (a <= eu c j) end; lra].
    eapply Rle_trans; [apply (norm_coordinate (dim c j) (fun i => (V j k i - value_of (W j k i)) / eta - mean k i)); exact Hi |].
    eapply Rle_trans; [apply Rle_abs |]. now apply (norm_coordinate (dim c (S j)) (fun k => norm (dim c j) (fun i => (V j k i - value_of (W j k i)) / eta - mean k i))). }
  assert (M : Rabs (mean k i) <= offset_s j * P c j / 2).
  { unfold mean. rewrite Rabs_mult, (Rabs_pos_eq (/ INR n)) by (apply Rlt_le, Rinv_0_lt_compat; exact In).
    apply Rmult_le_reg_l with (INR n); [exact In |]. rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l by lra. eapply Rle_trans; [apply sum_abs |]. unfold norm1. rewrite <- sum_const.
    apply sum_le. intros t Ht. destruct (token_ranges t j ltac:(lia) Hj) as [Tp Ts]. assert (Sk := Ts k Hk).
    assert (Pk : Rabs (p t j i) <= P c j) by (eapply Rle_trans; [apply (norm_coordinate (dim c j) (p t j)); exact Hi | exact Tp]).
    assert (So : Rabs (s t j k) <= offset_s j) by (eapply Rle_trans; [exact Sk | exact Above]).
    unfold Rdiv. rewrite !Rabs_mult, (Rabs_pos_eq (/ 2)) by lra. apply Rmult_le_compat_r; [lra |]. apply Rmult_le_compat; auto using Rabs_pos. }
  split; [now apply Fin |]. assert (EU : 0 <= eu c j) by (eapply Rle_trans; [apply Rabs_pos | exact E]). assert (OP : 0 <= offset_s j * P c j / 2) by (eapply Rle_trans; [apply Rabs_pos | exact M]).
  assert (Mv : 0 <= eta * (offset_s j * P c j / 2 + eu c j)) by (apply Rmult_le_pos; lra). unfold reached. split; [| lra].
  replace (value_of (W j k i)) with (V j k i - eta * (((V j k i - value_of (W j k i)) / eta - mean k i) + mean k i)) by (field; lra).
  eapply Rle_trans. apply Rabs_triang. rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq eta) by lra. apply Rplus_le_compat; [exact VB |].
  apply Rmult_le_compat_l; [lra |]. eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Variable W' : nat -> nat -> nat -> float.
Hypothesis clips : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> clipped (face j) (W j k i) (W' j k i).

Lemma clip_within j k i : (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
  is_finite (W' j k i) = true /\ Rabs (value_of (W' j k i) - clip_to (face j) (value_of (W j k i))) <= turn j.
Proof.
  intros Hj Hk Hi. destruct (clip_fits j Hj) as (_ & _ & F0 & _ & F1 & Turn & F2). destruct (weights_reached j k i Hj Hk Hi) as (Fw & Bw & Hh).
  destruct (clip_ok _ _ _ (reached j) (clips j k i Hj Hk Hi) Fw ltac:(lra) Bw F2) as [F E]. split; [exact F | lra].
Qed.
End Step.

(* The statement: n examples, as many as rounding was counted for, and the query as token n, whose y is 0 and whose mask is closed.
   If every token is computed as in float_pass, every weight is updated as in update.v and clipped as in clip.v, the weights W'
   stay in the box, and are within eta `bound` of exact descent, projected onto the box at whose faces the block clips, onto the
   whole box, or any between. *)
Definition step_in_floats (c : data) (o : machine_data) (e : update_data) : Prop :=
  forall (n : nat) (V : nat -> nat -> nat -> R) (X Y : nat -> nat -> R) (p z g s p' z' d' g' s' : nat -> nat -> nat -> R)
    (W W' : nat -> nat -> nat -> float) (side : nat -> R),
  S n = tokens o ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j) ->
  (forall t, (t < S n)%nat -> norm (dim c 0) (X t) <= P c 0 /\ norm (dim c (N c)) (Y t) <= B_y c /\
     float_pass c o (S n) V (X t) (Y t) (p' t) (z' t) (d' t) (g' t) (s' t)) ->
  (forall t, (t < n)%nat -> exact_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (X t) (Y t) (p t) (z t) (g t) (s t)) ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
     updated (S n) (fun t => s' t j k) (fun t => p' t j i) (mask n) (offset_s e j) (scale e n) (V j k i) (W j k i) /\
     clipped (face e j) (W j k i) (W' j k i)) ->
  (forall j, (j < N c)%nat -> face e j <= side j <= half c j) ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> is_finite (W' j k i) = true /\ Rabs (value_of (W' j k i)) <= half c j) /\
  stack (N c) (dim c) (fun j k i => value_of (W' j k i)
    - clip_to (side j) (V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta e * bound c.

Lemma clip_to_in face x : 0 <= face -> Rabs (clip_to face x) <= face.
Proof. intros H. unfold clip_to, Rmax, Rmin. apply Rabs_le. repeat destruct (Rle_dec _ _); lra. Qed.

Lemma clip_to_other face side x : 0 <= face <= side -> Rabs (clip_to face x - clip_to side x) <= side - face.
Proof. intros H. unfold clip_to, Rmax, Rmin. apply Rabs_le. repeat destruct (Rle_dec _ _); lra. Qed.

Lemma clip_to_wide face x : Rabs x <= face -> clip_to face x = x.
Proof. intros H. unfold clip_to, Rmax, Rmin, Rabs in *. destruct (Rcase_abs x); repeat destruct (Rle_dec _ _); lra. Qed.

Lemma stack_le n dim (f g : nat -> nat -> nat -> R) :
  (forall j k i, (j < n)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> Rabs (f j k i) <= Rabs (g j k i)) -> stack n dim f <= stack n dim g.
Proof.
  intros H. unfold stack, frob. apply norm_le. intros j Hj. rewrite Rabs_pos_eq by apply norm_nonneg.
  apply norm_le. intros k Hk. rewrite Rabs_pos_eq by apply norm_nonneg.
  rewrite <- (norm_abs _ (g j k)). apply norm_le. intros i Hi. now apply H.
Qed.

(* x moved away from v by t. *)
Definition away (v x t : R) : R := if Rle_dec v x then x + t else x - t.
Lemma away_far v x t : 0 <= t -> Rabs (away v x t - v) = Rabs (x - v) + t.
Proof. intros H. unfold away, Rabs. destruct (Rle_dec v x), (Rcase_abs _), (Rcase_abs _); lra. Qed.
Lemma away_near v x t : 0 <= t -> Rabs (away v x t - x) = t.
Proof. intros H. unfold away, Rabs. destruct (Rle_dec v x), (Rcase_abs _); lra. Qed.

Module Steps (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Fl := Floats F.

Theorem step_ok prec c o e :
  step_error c -> forallb (layer_sums c) (seq 0 (N c)) = true -> (forall j, (j < N c)%nat -> Pr.Ce.layer_fits prec c j = true) ->
  loss_sums c = true -> Pr.Ce.loss_fits prec c = true -> forallb (rounding_fits c o) (seq 0 (N c)) = true ->
  forallb (update_fits c o e) (seq 0 (N c)) = true -> rate_fits o e = true -> step_in_floats c o e.
Proof.
  intros Step H1 H2 H3 H4 H6 H7 H8 n V X Y p z g s p' z' d' g' s' W W' side Hn Hbox Hin Hexact Hup Hside.
  assert (Hr : forall j, (j < N c)%nat -> rounding_fits c o j = true) by (intros j Hj; rewrite forallb_forall in H6; apply H6, in_seq; lia).
  assert (Hf : forall j, (j < N c)%nat -> update_fits c o e j = true) by (intros j Hj; rewrite forallb_forall in H7; apply H7, in_seq; lia).
  assert (rg : its_ranges c) by (eapply Pr.all_ranges; eassumption). assert (lm : its_lemmas c) by (eapply Pr.all_lemmas; eassumption).
  assert (sg : 0 <= rho c) by now apply (Pr.loss_signs c).
  assert (Hup1 : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
    updated (S n) (fun t => s' t j k) (fun t => p' t j i) (mask n) (offset_s e j) (scale e n) (V j k i) (W j k i)) by (intros; now apply Hup).
  assert (Hup2 : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> clipped (face e j) (W j k i) (W' j k i)) by (intros; now apply Hup).
  destruct (n_pos o e H8 n Hn) as (Hn0 & He & _).
  assert (Clip := clip_within c o e rg lm Hr Hf H8 sg V Hbox n X Y p' z' d' g' s' Hn Hin W Hup1 W' Hup2).
  assert (Fits := clip_fits c o e Hf n Hn).
  assert (Up := update_within c o e rg lm Hr Hf H8 sg V Hbox n X Y p' z' d' g' s' Hn Hin W Hup1).
  split.
  { intros j k i Hj Hk Hi. destruct (Clip j k i Hj Hk Hi) as [Fi Ci]. destruct (Fits j Hj) as (_ & _ & F0 & _ & _ & Turn & _). split; [exact Fi |].
    assert (C0 := clip_to_in (face e j) (value_of (W j k i)) ltac:(lra)).
    replace (value_of (W' j k i)) with ((value_of (W' j k i) - clip_to (face e j) (value_of (W j k i))) + clip_to (face e j) (value_of (W j k i))) by ring.
    eapply Rle_trans. apply Rabs_triang. lra. }
  set (v := fun j k i => V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2))).
  set (x := fun j k i => away (v j k i) (value_of (W j k i)) (gap c e j)).
  set (Gr := fun j k i => (V j k i - x j k i) / eta e). assert (E : forall j k i, V j k i - eta e * Gr j k i = x j k i) by (intros; unfold Gr; field; lra).
  (* A clip so wide that it changes nothing: what is left of step_error is the distance before the projection. *)
  set (wide := fun j => frob (dim c (S j)) (dim c j) (fun k i => Rabs (x j k i) + Rabs (v j k i))).
  assert (Wide : forall j k i, (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (x j k i) + Rabs (v j k i) <= wide j).
  { intros j k i Hk Hi. eapply Rle_trans; [apply Rle_abs |]. eapply Rle_trans; [apply (norm_coordinate (dim c j) (fun i => Rabs (x j k i) + Rabs (v j k i))); exact Hi |].
    eapply Rle_trans; [apply Rle_abs |]. now apply (norm_coordinate (dim c (S j)) (fun k => norm (dim c j) (fun i => Rabs (x j k i) + Rabs (v j k i)))). }
  apply Rle_trans with (stack (N c) (dim c) (fun j k i => clip_to (wide j) (V j k i - eta e * Gr j k i) - clip_to (wide j) (v j k i))).
  - apply stack_le. intros j k i Hj Hk Hi. fold (v j k i). rewrite E. assert (B := Wide j k i Hk Hi). assert (P1 := Rabs_pos (x j k i)). assert (P2 := Rabs_pos (v j k i)).
    rewrite (clip_to_wide (wide j) (x j k i)) by lra. rewrite (clip_to_wide (wide j) (v j k i)) by lra. destruct (Clip j k i Hj Hk Hi) as [_ Ci]. destruct (Fits j Hj) as (_ & _ & F0 & _ & _ & Turn & _). assert (S0 := Hside j Hj).
    unfold x. rewrite away_far by (unfold gap; lra). set (w0 := value_of (W j k i)) in *.
    replace (value_of (W' j k i) - clip_to (side j) (v j k i)) with ((value_of (W' j k i) - clip_to (face e j) w0) + (clip_to (face e j) w0 - clip_to (side j) w0) + (clip_to (side j) w0 - clip_to (side j) (v j k i))) by ring.
    assert (T := clip_to_other (face e j) (side j) w0 ltac:(lra)). assert (D := clip_to_near (side j) w0 (v j k i)).
    eapply Rle_trans. apply Rabs_triang. eapply Rle_trans. apply Rplus_le_compat_r, Rabs_triang.
    unfold gap. lra.
  - apply (Step n V X Y p z g s p' z' d' g' s' Gr (eta e) wide (Rlt_le _ _ He) Hn0 Hbox).
    + intros t Ht. destruct (Hin t ltac:(lia)) as (Hx & Hy & Hp). repeat (split; [assumption |]). split; [now apply Hexact |].
      eapply (floats_within c o); try eassumption. lia.
    + intros j Hj. destruct (Up j Hj) as [_ U1]. destruct (Fits j Hj) as (_ & _ & F0 & _ & _ & Turn & _). destruct (root_of c rg j ltac:(lia)) as [R00 R01]. destruct (root_of c rg (S j) ltac:(lia)) as [R10 R11].
      assert (G0 : 0 <= gap c e j) by (unfold gap; lra).
      eapply Rle_trans; [| exact U1].
      rewrite (frob_ext _ _ _ (fun k i => ((V j k i - value_of (W j k i)) / eta e - / INR n * sum n (fun t => s' t j k * p' t j i / 2)) + (value_of (W j k i) - x j k i) / eta e))
        by (intros; unfold Gr; field; repeat split; (apply not_0_INR; lia) || lra).
      eapply Rle_trans. apply frob_triangle. apply Rplus_le_compat_l.
      unfold frob, Rdiv. rewrite (Rmult_comm (gap c e j)), Rmult_assoc.
      rewrite Rmult_assoc.
      assert (Ie : 0 < / eta e) by now apply Rinv_0_lt_compat. assert (G1 : 0 <= gap c e j * / eta e) by (apply Rmult_le_pos; lra).
      apply norm_bound; auto; [now apply Rmult_le_pos |]. intros k Hk. rewrite Rabs_pos_eq by apply norm_nonneg. apply norm_bound; auto. intros i Hi.
      rewrite Rabs_mult, (Rabs_pos_eq (/ eta e)) by lra. apply Rmult_le_compat_r; [lra |]. unfold x.
      rewrite <- Rabs_Ropp. right. replace (- (value_of (W j k i) - away (v j k i) (value_of (W j k i)) (gap c e j))) with (away (v j k i) (value_of (W j k i)) (gap c e j) - value_of (W j k i)) by ring.
      now apply away_near.
Qed.
End Steps.
