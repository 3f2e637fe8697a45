(* One step of a block in binary64, the update included, for the number of examples of the certificate. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Interval Require Import Float.Sig.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding floats products binary64 update.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

(* eta, and the offsets of s. *)
Record update_data := Update { rate : Q; above_s : list Q }.

Open Scope Q_scope.
Definition factor_q (o : machine_data) (d : update_data) : Q := rate d * of_nat (tokens o) / (2 * of_nat (tokens o - 1)).

Definition update_fits (c : data) (o : machine_data) (d : update_data) (j : nat) : bool :=
  let l := L c j in let T := tokens o in let above := nth j (above_s d) 0 in let r0 := nth j (roots c) 0 in let r1 := nth (S j) (roots c) 0 in
  let sc := factor_q o d in let P := nth j (ps c) 0 in let room := 4 * uQ * (r1 * r0 * qhalf l) in
  le 0 above && le 0 (qD l) && le 0 P && le (qD l * qG l + qex l) above && fits_in 3 0 (r1 * r0 * qhalf l) room &&
  fits_in (T + 12) (6 * sc * P * r1 + (8 * above + 26) * (r1 * r0)) (5 * above * sc * P * r1) (rate d * qeu l - room) &&
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

Lemma norm_abs_same m f : norm m (fun i => Rabs (f i)) = norm m f.
Proof. unfold norm, vectors.norm. f_equal. apply sum_ext. intros. apply pow2_abs. Qed.

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

Theorem update_within j : (j < N c)%nat -> frob (dim c (S j)) (dim c j)
  (fun k i => (V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2)) <= eu c j.
Proof.
  intros Hj. destruct n_pos as (Hn & He & Hsc & Hf). assert (U := u_pos). assert (Wp := w_pos).
  assert (H := all_update j Hj). unfold update_fits in H. cbv zeta in H.
  apply andb_true_iff in H; destruct H as [H Fin2]. apply andb_true_iff in H; destruct H as [H Fin1]. apply andb_true_iff in H; destruct H as [H Room1].
  apply andb_true_iff in H; destruct H as [H Room2]. apply andb_true_iff in H; destruct H as [H Above]. apply andb_true_iff in H; destruct H as [H HP]. apply andb_true_iff in H; destruct H as [HO HD].
  apply Qle_R in HD, HP, Above. apply fits_in_ok in Room1, Room2. apply stays_finite_ok in Fin1, Fin2.
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E0 : Q2R 0 = 0) by apply RMicromega.Q2R_0.
  assert (Num : forall m : BinNums.positive, Q2R (inject_Z (Zpos m)) = IZR (Zpos m)) by (intros; unfold Q2R; simpl; lra).
  change 4%Q with (inject_Z 4) in *. change 5%Q with (inject_Z 5) in *. change 6%Q with (inject_Z 6) in *. change 8%Q with (inject_Z 8) in *. change 26%Q with (inject_Z 26) in *.
  destruct Room1 as (_ & _ & R1). destruct Room2 as (_ & _ & R2).
  rewrite ?Q2R_minus, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Num, ?E1, ?E0, ?of_nat_ok, ?uQ_ok, ?Rmult_1_l in *.
  rewrite <- examples in *. fold (offset_s j) (root c j) (root c (S j)) (half c j) (P c j) (G c j) (eu c j) eta in *. rewrite <- Hsc in *.
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
  assert (Entry : forall k i, (k < dim c (S j))%nat -> (i < dim c j)%nat ->
    Rabs ((V j k i - value_of (W j k i)) / eta - / INR n * sum n (fun t => s t j k * p t j i / 2)) <= / eta * (c0 * Rabs (V j k i) + c1 * avg i + c2)).
  { intros k i Hk Hi. assert (VB := box j k i Hj Hk Hi).
    destruct (update_ok T (fun t => s t j k) (fun t => p t j i) (mask n) off_ scale (V j k i) (W j k i) Pj HT (heads j k i Hj Hk Hi) O0) as [_ Eu].
    - intros t Ht. split; [| split].
      + eapply Rle_trans; [now apply (token_ranges t j) |]. exact Above.
      + unfold mask. destruct (Nat.ltb t n); [now right | now left].
      + now apply Pc.
    - fold sc. eapply Rle_lt_trans; [| exact Fin1]. apply Rmult_le_compat_l; [apply pos_INR |]. fold q. apply Rmult_le_compat_l; [lra |].
      assert (0 <= sc * Pj) by (apply Rmult_le_pos; lra). assert (w <= 1). { unfold machine.w. change 1 with (bpow radix2 0). assert (bpow radix2 (-1074) <= bpow radix2 0) by (apply bpow_le; lia). generalize (bpow_gt_0 radix2 (-1074)). lra. }
      assert (12 * w * w <= 12 * w) by nra. nra.
    - fold sc. eapply Rle_lt_trans; [| exact Fin2]. apply Rmult_le_compat_l; [generalize (grow 5 5 (Nat.le_refl _)); lra |]. lra.
    - cbv zeta in Eu. fold sc (avg i) q in Eu.
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
  { unfold avg. apply (norm_average (dim c j) T (fun t i => Rabs (p t j i))); auto. intros t Ht. rewrite norm_abs_same. now apply (token_ranges t j). }
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
  eapply Rle_trans. unfold frob. apply norm_le. intros k Hk. rewrite Rabs_pos_eq by apply norm_nonneg. apply norm_le. intros i Hi. now apply Entry.
  fold (frob (dim c (S j)) (dim c j) (fun k i => / eta * (c0 * Rabs (V j k i) + c1 * avg i + c2))).
  rewrite frob_scal, (Rabs_pos_eq (/ eta)) by (apply Rlt_le, Rinv_0_lt_compat; exact He).
  apply Rmult_le_reg_l with eta; [exact He |]. rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l by lra.
  eapply Rle_trans; [exact Fr |]. unfold off in R1, R2. fold q in R1. set (hh := r1 * r0 * half c j) in *.
  assert (W1 : w <= 1). { unfold machine.w. change 1 with (bpow radix2 0). assert (bpow radix2 (-1074) <= bpow radix2 0) by (apply bpow_le; lia). generalize (bpow_gt_0 radix2 (-1074)). lra. }
  assert (RR : 0 <= r1 * r0) by now apply Rmult_le_pos.
  assert (A0 : c0 * (r1 * (r0 * half c j)) <= 4 * u * hh).
  { replace (r1 * (r0 * half c j)) with hh by (unfold hh; ring). unfold c0. lra. }
  set (K := (6 * sc * Pj * r1 + (8 * off_ + 26) * (r1 * r0)) * w) in *. set (S5 := 5 * off_ * sc * Pj * r1) in *.
  assert (A1 : c1 * (r1 * Pj) + c2 * (r1 * r0) <= q * (S5 + K) - S5).
  { assert (E : q * (S5 + K) - S5 - (c1 * (r1 * Pj) + c2 * (r1 * r0)) = 12 * (q * (w * (r1 * r0)) * (1 - w))) by (unfold c1, c2, S5, K; ring).
    assert (0 <= q * (w * (r1 * r0)) * (1 - w)). { apply Rmult_le_pos; [| lra]. apply Rmult_le_pos; [lra |]. apply Rmult_le_pos; lra. } lra. }
  lra.
Qed.
End Step.

(* The statement: n examples, as many as rounding was counted for, and the query as token n, whose y is 0 and whose mask is closed.
   If every token is computed as in float_pass and every weight is updated as in update.v, the weights W before they are clipped
   give, clipped to any faces, a step within eta `bound` of projected descent. *)
Definition step_in_floats (c : data) (o : machine_data) (e : update_data) : Prop :=
  forall (n : nat) (V : nat -> nat -> nat -> R) (X Y : nat -> nat -> R) (p z g s p' z' d' g' s' : nat -> nat -> nat -> R)
    (W : nat -> nat -> nat -> float) (face : nat -> R),
  S n = tokens o ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j) ->
  (forall t, (t < S n)%nat -> norm (dim c 0) (X t) <= P c 0 /\ norm (dim c (N c)) (Y t) <= B_y c /\
     float_pass c o (S n) V (X t) (Y t) (p' t) (z' t) (d' t) (g' t) (s' t)) ->
  (forall t, (t < n)%nat -> exact_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (X t) (Y t) (p t) (z t) (g t) (s t)) ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
     updated (S n) (fun t => s' t j k) (fun t => p' t j i) (mask n) (offset_s e j) (scale e n) (V j k i) (W j k i)) ->
  stack (N c) (dim c) (fun j k i => clip_to (face j) (value_of (W j k i))
    - clip_to (face j) (V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta e * bound c.

Module Steps (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Fl := Floats F.

Theorem step_ok prec c o e :
  step_error c -> forallb (layer_sums c) (seq 0 (N c)) = true -> (forall j, (j < N c)%nat -> Pr.Ce.layer_fits prec c j = true) ->
  loss_sums c = true -> Pr.Ce.loss_fits prec c = true -> forallb (rounding_fits c o) (seq 0 (N c)) = true ->
  forallb (update_fits c o e) (seq 0 (N c)) = true -> rate_fits o e = true -> step_in_floats c o e.
Proof.
  intros Step H1 H2 H3 H4 H6 H7 H8 n V X Y p z g s p' z' d' g' s' W face Hn Hbox Hin Hexact Hup.
  assert (Hr : forall j, (j < N c)%nat -> rounding_fits c o j = true) by (intros j Hj; rewrite forallb_forall in H6; apply H6, in_seq; lia).
  assert (Hf : forall j, (j < N c)%nat -> update_fits c o e j = true) by (intros j Hj; rewrite forallb_forall in H7; apply H7, in_seq; lia).
  assert (He : 0 < eta e /\ (0 < n)%nat).
  { unfold rate_fits in H8. apply andb_true_iff in H8; destruct H8 as [H8 _]. apply andb_true_iff in H8; destruct H8 as [H0 H8]. apply Nat.ltb_lt in H0.
    split; [| lia]. unfold eta. apply negb_true_iff in H8. unfold le in H8. assert (K : ~ (rate e <= 0)%Q) by (rewrite <- Qle_bool_iff; congruence).
    apply Qnot_le_lt, Qlt_Rlt in K. now rewrite RMicromega.Q2R_0 in K. }
  destruct He as [He Hn0].
  set (Gr := fun j k i => (V j k i - value_of (W j k i)) / eta e).
  assert (E : forall j k i, value_of (W j k i) = V j k i - eta e * Gr j k i) by (intros; unfold Gr; field; lra).
  assert (Same : stack (N c) (dim c) (fun j k i => clip_to (face j) (value_of (W j k i))
      - clip_to (face j) (V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) =
    stack (N c) (dim c) (fun j k i => clip_to (face j) (V j k i - eta e * Gr j k i)
      - clip_to (face j) (V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2))))).
  { unfold stack. apply norm_ext. intros j _. apply norm_ext. intros k _. apply norm_ext. intros i _. now rewrite E. }
  rewrite Same.
  apply (Step n V X Y p z g s p' z' d' g' s' Gr (eta e) face (Rlt_le _ _ He) Hn0 Hbox).
  - intros t Ht. destruct (Hin t ltac:(lia)) as (Hx & Hy & Hp). repeat (split; [assumption |]). split; [now apply Hexact |].
    eapply (floats_within c o); try eassumption.
    + eapply Pr.all_ranges; eassumption.
    + eapply Pr.all_lemmas; eassumption.
    + now apply (Pr.loss_signs c).
    + lia.
  - intros j Hj. unfold Gr.
    eapply (update_within c o e); try eassumption.
    + eapply Pr.all_ranges; eassumption.
    + eapply Pr.all_lemmas; eassumption.
    + now apply (Pr.loss_signs c).
Qed.
End Steps.
