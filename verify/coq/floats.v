(* A block whose forward pass and rows of V are computed in binary64 is within the room that a certificate leaves for rounding. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From Flocq Require Import Core.
From Interval Require Import Float.Sig.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

(** What a certificate says of the floats: the number of tokens that rounding was counted for, and the offsets. *)
Record machine_data := Machine { tokens : nat; above_z : list Q; above_g : list Q }.

Section Statement.
Variables (c : data) (o : machine_data).
Definition offset_z (j : nat) : R := Q2R (nth j (above_z o) 0%Q).
Definition offset_g (j : nat) : R := Q2R (nth j (above_g o) 0%Q).

Definition sign_of (s : bool) : R := if s then 1 else -1.
Definition reals_of (w : relus) : list (R * R * R) := map (fun '(s, b, c) => (sign_of s, Q2R (b # kinks w), Q2R (c # weights w))) (units w).
Definition constant_of (w : relus) : R := Q2R (constant w # weights w).

(* A hidden unit c relu(a t + b) of t = x - offset, where x is a float in the stream: the matrix holds a, b - a offset (which takes
   arithmetic) and c. *)
Definition slot_unit (offset x : R) (h : hidden) (p : R * R * R) : Prop :=
  let '(a, b, c) := p in
  rounding.sums True (score_of h) (inputs h) /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = c /\
  exists bias, inputs h = [a * x; bias] /\ Rabs (bias - (b - a * offset)) <= 4 * u * (Rabs b + Rabs (a * offset)).

(* y: a sum of ReLUs of a slot, as hidden units. *)
Definition slot_row (offset x : R) (w : relus) (y : R) : Prop :=
  exists (hs : list hidden) (t : tree) (k : R), Forall2 (slot_unit offset x) hs (reals_of w) /\ entry (constant_of w) k /\
    rounding.sums (Forall (fun h => BinarySingleNaN.is_finite (out h) = true) hs) t (k :: map (fun h => weight_of h * value_of (out h)) hs) /\
    y = value_of (eval t).

(* y: what is read from a row v by q, less its offset, from T tokens. *)
Definition row_read (T d : nat) (q v : nat -> R) (offset y : R) : Prop := exists f : float, reads T d q v offset f /\ y = value_of f - offset.

Definition by_machine (w : option relus) (f : R -> R) (offset z room y : R) : Prop :=
  match w with Some w => slot_row offset (z + offset) w y | None => Rabs (y - f z) <= room end.

(* The pass of block.v for the construction `lean`, with z, p, r' and g as literal matrices compute them in binary64, whatever the
   order of each sum and with or without fused multiply-adds; T tokens.  Products, and the loss slope, are within the room that the
   certificate leaves for their rounding. *)
Definition float_pass (T : nat) (V : nat -> nat -> nat -> R) (x y : nat -> R) (p z d g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim c 0)%nat -> p O i = x i) /\
  (forall j k, (j < N c)%nat -> (k < dim c (S j))%nat ->
     row_read T (dim c j) (p j) (V j k) (offset_z j) (z j k) /\
     by_machine (r_sum (L c j)) (act c j) (offset_z j) (z j k) (wr c j) (p (S j) k) /\
     by_machine (dr_sum (L c j)) (dact c j) (offset_z j) (z j k) (wd c j) (d j k) /\
     (DL c j <= d j k <= DH c j -> Rabs (g j k) <= G c j -> Rabs (s j k - product c j (d j k) (g j k)) <= wx c j)) /\
  (forall j k, S j = N c -> (k < dim c (N c))%nat -> Rabs (z j k) <= Z c j ->
     Rabs (g j k - (uhat c (if direct c then z j k else p (N c) k - rho c * y k) - sigma c * y k)) <= wg c j) /\
  (forall j k, (S j < N c)%nat -> (k < dim c (S j))%nat ->
     row_read T (dim c (S (S j))) (s (S j)) (fun l => V (S j) l k) (offset_g j) (g j k)).
End Statement.

(** The checks, in rational numbers. *)
Open Scope Q_scope.
Definition uQ : Q := 1 # (2 ^ 53).
Definition wQ : Q := 1 # (2 ^ 1075).
Definition most : Q := inject_Z (2 ^ 1000).
Definition of_nat (n : nat) : Q := inject_Z (Z.of_nat n).

(* n roundings of numbers of size s in all, k of which may underflow, fit into the room, and `factor` times that does not overflow. *)
Definition fits_in (n : nat) (k s room : Q) : bool :=
  le (of_nat n * uQ) (1 # 2) && le 0 k && le 0 s && le (of_nat n * uQ * s + k * wQ) (room * (1 - of_nat n * uQ)).
Definition stays_finite (factor : Q) (n : nat) (k s : Q) : bool :=
  le (of_nat n * uQ) (1 # 2) && le 0 factor && le 0 (s + k * wQ) && le (factor * (s + k * wQ)) (most * (1 - of_nat n * uQ)).

(* A read of d products by T tokens. *)
Definition read_fits (T d : nat) (range above room : Q) : bool :=
  le range above && fits_in (T + d + 2) (2 * of_nat d + 5) (above + range) room &&
  stays_finite (of_nat T) (T + d + 2) (2 * of_nat d + 2 * of_nat T + 5) (above + range).

Definition weights_size (w : relus) : Q := fold_right Z.add 0%Z (map (fun '(_, _, c) => Z.abs c) (units w)) # weights w.
Definition biases_size (w : relus) : Q := fold_right Z.add 0%Z (map (fun '(_, b, c) => Z.abs c * Z.abs b)%Z (units w)) # (weights w * kinks w).
Definition largest_bias (w : relus) : Q := fold_right Z.max 0%Z (map (fun '(_, b, _) => Z.abs b) (units w)) # kinks w.

(* A row of hidden units that read a slot within `range` of its offset. *)
Definition row_fits (w : option relus) (range above room : Q) : bool :=
  match w with
  | None => true
  | Some w =>
      let M := length (units w) in let far := range + 2 * above in
      let size := Qabs (constant w # weights w) + (far * weights_size w + biases_size w) in
      let k := 4 * weights_size w + 2 * of_nat (S M) in
      le 0 range && le 0 above && fits_in (M + 11) k size room && stays_finite 1 (M + 11) k size && stays_finite 1 6 4 (far + largest_bias w)
  end.

Definition rounding_fits (c : data) (o : machine_data) (j : nat) : bool :=
  let l := L c j in let T := tokens o in
  le 0 (qwx l) && le 0 (qwg l) && read_fits T (dim c j) (qZ l) (nth j (above_z o) 0) (qwz l) &&
  row_fits (r_sum l) (qZ l) (nth j (above_z o) 0) (qwr l) && row_fits (dr_sum l) (qZ l) (nth j (above_z o) 0) (qwd l) &&
  (if Nat.ltb (S j) (N c) then read_fits T (dim c (S (S j))) (qG l) (nth j (above_g o) 0) (qwg l) else true).
Close Scope Q_scope.

(** What the checks prove. *)
Lemma power_two n : Q2R (1 # (2 ^ n)) = / bpow radix2 (Zpos n).
Proof. unfold Q2R. cbn [Qnum Qden]. rewrite Rmult_1_l. f_equal. rewrite Pos2Z.inj_pow. change (2 ^ Zpos n)%Z with (Zpower radix2 (Zpos n)). apply IZR_Zpower. lia. Qed.

Lemma uQ_ok : Q2R uQ = u.
Proof. unfold uQ, u. rewrite power_two, <- bpow_opp. change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. reflexivity. Qed.

Lemma wQ_ok : Q2R wQ = w.
Proof. unfold wQ, w. rewrite power_two, <- bpow_opp. change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. reflexivity. Qed.

Lemma most_ok : Q2R most < huge.
Proof.
  unfold most, huge, inject_Z, Q2R. cbn [Qnum Qden]. rewrite Rinv_1, Rmult_1_r.
  change (2 ^ 1000)%Z with (Zpower radix2 1000). rewrite IZR_Zpower by lia. apply bpow_lt. lia.
Qed.

Lemma of_nat_ok n : Q2R (of_nat n) = INR n.
Proof. apply Q2R_nat. Qed.

Lemma Q2R_small : Q2R (1 # 2) = / 2.
Proof. unfold Q2R. simpl. lra. Qed.

Lemma fits_in_ok n k s room : fits_in n k s room = true -> 0 <= Q2R k /\ 0 <= Q2R s /\ off n (Q2R k) (Q2R s) <= Q2R room.
Proof.
  unfold fits_in. intros H. apply andb_true_iff in H; destruct H as [H H3]. apply andb_true_iff in H; destruct H as [H H2].
  apply andb_true_iff in H; destruct H as [H H1]. apply Qle_R in H, H1, H2, H3.
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_minus, ?Q2R_mult, of_nat_ok, ?uQ_ok, ?wQ_ok, ?RMicromega.Q2R_0, ?RMicromega.Q2R_1, ?Q2R_small in *.
  repeat split; auto. apply off_quotient; auto; lra.
Qed.

Lemma stays_finite_ok factor n k s : stays_finite factor n k s = true -> Q2R factor * ((1 + u) ^ n * (Q2R s + Q2R k * w)) < huge.
Proof.
  unfold stays_finite. intros H. apply andb_true_iff in H; destruct H as [H H3]. apply andb_true_iff in H; destruct H as [H H2].
  apply andb_true_iff in H; destruct H as [H H1]. apply Qle_R in H, H1, H2, H3.
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_minus, ?Q2R_plus, ?Q2R_mult, of_nat_ok, ?uQ_ok, ?wQ_ok, ?RMicromega.Q2R_0, ?RMicromega.Q2R_1, ?Q2R_small in *.
  assert (S := small_powers n ltac:(lra)). eapply Rle_lt_trans; [| apply most_ok].
  set (x := Q2R factor * (Q2R s + Q2R k * w)) in *. assert (X : 0 <= x) by (apply Rmult_le_pos; auto).
  apply Rmult_le_reg_r with (1 - INR n * u); [lra |].
  replace (Q2R factor * ((1 + u) ^ n * (Q2R s + Q2R k * w)) * (1 - INR n * u)) with ((1 + u) ^ n * (1 - INR n * u) * x) by (unfold x; ring).
  apply Rle_trans with x; [| exact H3]. rewrite <- (Rmult_1_l x) at 2. now apply Rmult_le_compat_r.
Qed.

Lemma dot_total d q v : total (dot d q v) = sum d (fun i => v i * q i).
Proof.
  unfold dot. induction d as [| d IH]; [reflexivity |]. rewrite seq_S, map_app, total_app, IH. cbn [map total plus sum]. ring.
Qed.

Lemma dot_sizes d q v : sizes (dot d q v) = sum d (fun i => Rabs (v i) * Rabs (q i)).
Proof.
  unfold dot. induction d as [| d IH]; [reflexivity |]. rewrite seq_S, map_app, sizes_app, IH. cbn [map sizes plus sum]. rewrite Rabs_mult. ring.
Qed.

Lemma stays_mono a n k s : 0 <= s -> 0 <= k -> 1 <= a -> a * ((1 + u) ^ n * (s + k * w)) < huge ->
  forall a' n' k', 1 <= a' <= a -> (n' <= n)%nat -> 0 <= k' <= k -> a' * ((1 + u) ^ n' * (s + k' * w)) < huge.
Proof.
  intros Hs Hk Ha H a' n' k' Ha' Hn Hk'. eapply Rle_lt_trans; [| exact H]. destruct (grow n' n Hn). assert (W := w_pos).
  assert (0 <= k' * w <= k * w) by nra.
  assert (X : 0 <= (1 + u) ^ n' * (s + k' * w) <= (1 + u) ^ n * (s + k * w)).
  { split. apply Rmult_le_pos; lra. apply Rmult_le_compat; lra. }
  apply Rmult_le_compat; lra.
Qed.

Lemma read_ok T most_tokens d range above room q v y : (0 < T <= most_tokens)%nat -> read_fits most_tokens d range above room = true ->
  row_read T d q v (Q2R above) y -> sum d (fun i => Rabs (v i) * Rabs (q i)) <= Q2R range ->
  Rabs (y - sum d (fun i => v i * q i)) <= Q2R room.
Proof.
  intros [T0 HT] H (f & Hf & ->) Hr. unfold read_fits in H. apply andb_true_iff in H; destruct H as [H Hb]. apply andb_true_iff in H; destruct H as [Ha Hf'].
  apply Qle_R in Ha. apply fits_in_ok in Hf'. apply stays_finite_ok in Hb. destruct Hf' as (Hk & Hs & Ho).
  rewrite ?Q2R_plus, ?Q2R_mult, ?of_nat_ok in *. replace (Q2R 2) with 2 in * by (unfold Q2R; simpl; lra). replace (Q2R 5) with 5 in * by (unfold Q2R; simpl; lra).
  rewrite <- dot_sizes in Hr. rewrite <- dot_total.
  assert (HT' := le_INR _ _ HT). assert (H1 := le_INR 1 T ltac:(lia)). simpl (INR 1) in H1. assert (D := pos_INR d).
  destruct (reads_ok T d q v (Q2R above) f (Q2R range) (Q2R range) T0 Hf Hr) as [_ E].
  - eapply Rle_trans; [apply total_sizes | exact Hr].
  - exact Ha.
  - apply (stays_mono (INR most_tokens) (most_tokens + d + 2) (2 * INR d + 2 * INR most_tokens + 5)); auto; try lra. lia.
  - eapply Rle_trans; [exact E |]. eapply Rle_trans; [| exact Ho]. apply off_mono; lia || lra.
Qed.

Lemma Q2R_frac n d : Q2R (n # d) = IZR n * / IZR (Zpos d).
Proof. reflexivity. Qed.

Lemma inv_pos d : 0 < / IZR (Zpos d).
Proof. apply Rinv_0_lt_compat, IZR_lt. reflexivity. Qed.

Lemma Rabs_frac n d : Rabs (Q2R (n # d)) = IZR (Z.abs n) * / IZR (Zpos d).
Proof. rewrite Q2R_frac, Rabs_mult, abs_IZR, (Rabs_pos_eq (/ _)); auto. generalize (inv_pos d). lra. Qed.

Lemma Q2R_sign (s : bool) : Q2R (if s then 1 else -1)%Q = sign_of s.
Proof. destruct s; unfold Q2R; simpl; lra. Qed.

Definition row_program (offset range t : R) (w : relus) : list (R * R * R) :=
  map (fun '(a, b, c) => (a * t + b, range + 2 * offset + Rabs b, c)) (reals_of w).

Lemma sum_of_row offset range t w : row_value (constant_of w) (row_program offset range t w) = sum_of w t.
Proof.
  unfold row_value, row_program, sum_of, relu_sum, reals_of, constant_of. generalize (constant w # weights w)%Q. intros q.
  induction (units w) as [| [[s b] c'] us IH]; cbn [map total fold_right]; [ring |].
  rewrite Q2R_sign, <- IH. ring.
Qed.

Lemma row_size_of offset range t w : row_size (constant_of w) (row_program offset range t w) =
  Rabs (constant_of w) + ((range + 2 * offset) * Q2R (weights_size w) + Q2R (biases_size w)).
Proof.
  unfold row_size, row_program, reals_of, weights_size, biases_size. f_equal. rewrite !Q2R_frac. rewrite Pos2Z.inj_mul, mult_IZR.
  assert (W := inv_pos (weights w)). assert (K := inv_pos (kinks w)).
  rewrite Rinv_mult. induction (units w) as [| [[s b] c'] us IH]; cbn [map total fold_right]; [ring |].
  rewrite IH, !Rabs_frac, !plus_IZR, mult_IZR. ring.
Qed.

Lemma row_weights_of offset range t w : row_weights (row_program offset range t w) = Q2R (weights_size w).
Proof.
  unfold row_weights, row_program, reals_of, weights_size. rewrite Q2R_frac.
  induction (units w) as [| [[s b] c'] us IH]; cbn [map total fold_right]; [ring |]. rewrite IH, Rabs_frac, plus_IZR. ring.
Qed.

Lemma row_program_length offset range t w : length (row_program offset range t w) = length (units w).
Proof. unfold row_program, reals_of. now rewrite !map_length. Qed.

Lemma row_program_sizes offset range t v n k : 0 <= range -> 0 <= offset ->
  (1 + u) ^ n * (range + 2 * offset + Q2R (largest_bias v) + k * w) < huge ->
  List.Forall (fun '(_, sigma, _) => (1 + u) ^ n * (sigma + k * w) < huge) (row_program offset range t v).
Proof.
  intros Hr Ho H. unfold row_program, reals_of. rewrite map_map. apply Forall_forall. intros p Hp. apply in_map_iff in Hp. destruct Hp as ([[s b] c'] & <- & Hin).
  eapply Rle_lt_trans; [| exact H]. destruct (grow n n (Nat.le_refl _)). apply Rmult_le_compat_l; [lra |].
  assert (B : Rabs (Q2R (b # kinks v)) <= Q2R (largest_bias v)); [| lra].
  rewrite Rabs_frac. unfold largest_bias. rewrite Q2R_frac. apply Rmult_le_compat_r. generalize (inv_pos (kinks v)); lra. apply IZR_le.
  clear H. induction (units v) as [| [[s' b'] c''] us IH]; [destruct Hin |]. cbn [map fold_right]. destruct Hin as [E | Hin].
  - injection E as -> -> ->. lia.
  - specialize (IH Hin). lia.
Qed.

Lemma slot_row_row offset range x v y : 0 <= offset -> Rabs (x - offset) <= range -> slot_row offset x v y ->
  exists f, y = value_of f /\ row 2 (constant_of v) (row_program offset range (x - offset) v) f.
Proof.
  intros Ho Hx (hs & t & k & Hu & Hk & Ht & ->). exists (eval t). split; [reflexivity |]. exists hs, t, k. repeat split; auto; try apply Ht.
  unfold row_program. assert (Signs : List.Forall (fun '(a, _, _) => Rabs a = 1) (reals_of v)).
  { unfold reals_of. apply Forall_forall. intros p Hp. apply in_map_iff in Hp. destruct Hp as ([[s b] c'] & <- & _).
    destruct s; cbn [sign_of]; [apply Rabs_R1 |]. rewrite Rabs_left; lra. }
  clear Ht. assert (U := u_pos). assert (R0 : 0 <= range) by (eapply Rle_trans; [apply Rabs_pos | exact Hx]).
  induction Hu as [| h p hs' ps Hp Hps IH]; cbn [map]; constructor.
  - inversion Signs as [| p0 ps0 Sp Sps]; subst. destruct p as [[a b] c']. destruct Hp as (Hs & Hr & Hw & bias & Hi & Hb).
    assert (B0 := Rabs_pos b). rewrite (Rabs_mult a offset), Sp, Rmult_1_l, (Rabs_pos_eq offset) in Hb by exact Ho.
    assert (Ax : Rabs (a * x) <= range + offset).
    { rewrite Rabs_mult, Sp, Rmult_1_l. replace x with ((x - offset) + offset) by ring. eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq offset) by exact Ho. lra. }
    assert (Ao : Rabs (a * offset) <= offset) by (rewrite Rabs_mult, Sp, Rmult_1_l, Rabs_pos_eq; lra).
    unfold unit_ok. split; [exact Hs |]. split; [exact Hr |]. split; [| split; [| split; [| split; [| split]]]].
    + unfold entry. rewrite Hw, Rminus_diag_eq, Rabs_R0 by reflexivity. assert (C := Rabs_pos c'). nra.
    + rewrite Hi. simpl. lia.
    + lra.
    + eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult, Sp, Rmult_1_l. lra.
    + rewrite Hi. cbn [total]. replace (a * x + (bias + 0) - (a * (x - offset) + b)) with (bias - (b - a * offset)) by ring.
      eapply Rle_trans; [exact Hb |]. apply Rmult_le_compat_l; lra.
    + rewrite Hi. cbn [sizes]. assert (Bs : Rabs bias <= (1 + 4 * u) * (Rabs b + offset)).
      { replace bias with ((bias - (b - a * offset)) + (b + - (a * offset))) by ring. eapply Rle_trans. apply Rabs_triang.
        assert (T := Rabs_triang b (- (a * offset))). rewrite Rabs_Ropp in T. lra. }
      assert (range + offset <= (1 + 4 * u) * (range + offset)) by nra. lra.
  - apply IH. inversion Signs; auto.
Qed.

Lemma row_room v range above room x y : row_fits (Some v) range above room = true -> Rabs (x - Q2R above) <= Q2R range ->
  slot_row (Q2R above) x v y -> Rabs (y - sum_of v (x - Q2R above)) <= Q2R room.
Proof.
  intros H Hx Hy. unfold row_fits in H. cbv zeta in H. apply andb_true_iff in H; destruct H as [H Hsmall]. apply andb_true_iff in H; destruct H as [H Hbig].
  apply andb_true_iff in H; destruct H as [H Hf]. apply andb_true_iff in H; destruct H as [Hr Ho]. apply Qle_R in Hr, Ho. rewrite RMicromega.Q2R_0 in Hr, Ho.
  apply fits_in_ok in Hf. apply stays_finite_ok in Hbig, Hsmall. destruct Hf as (Hk & Hs & Hroom).
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). assert (E4 : Q2R 4 = 4) by (unfold Q2R; simpl; lra).
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?of_nat_ok, ?Q2R_abs, ?E1, ?E2, ?E4 in *.
  destruct (slot_row_row (Q2R above) (Q2R range) x v y Ho Hx Hy) as (f & -> & Hf).
  destruct (row_ok 2 _ _ f Hf) as [_ E].
  - change (2 + 4)%nat with 6%nat. apply row_program_sizes; auto. simpl (INR 2). replace (2 * (1 + 1)) with 4 by ring. lra.
  - rewrite row_program_length, row_weights_of, row_size_of. replace (length (units v) + 2 + 9)%nat with (length (units v) + 11)%nat by lia.
    simpl (INR 2). replace (2 * (1 + 1)) with 4 by ring. unfold constant_of. rewrite Rmult_1_l in Hbig. exact Hbig.
  - cbv zeta in E. rewrite row_program_length, row_weights_of, row_size_of, sum_of_row in E.
    replace (length (units v) + 2 + 9)%nat with (length (units v) + 11)%nat in E by lia.
    simpl (INR 2) in E. replace (2 * (1 + 1)) with 4 in E by ring. unfold constant_of in E. eapply Rle_trans; [exact E | exact Hroom].
Qed.

(** The pass of a machine is a pass within the room. *)
Section Composition.
Variables (c : data) (o : machine_data).
Notation A := (fun j => Q2R (qA (L c j))).
Notation e_ f := (fun j => Q2R (f (L c j))).
Variable Gn : nat -> R.
Hypothesis rg : ranges (N c) (dim c) (act c) (dact c) (phi c) (rho c) (sigma c) (half c) (root c) (B_y c)
  (Q2R (qlip c)) (Q2R (qphi0 c)) (Q2R (qtilt c)) (Q2R (qtop c)) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg)
  (P c) (Z c) A (DL c) (DH c) (e_ qD) (G c) Gn (e_ qSn).
Hypothesis lm : lemmas (N c) (act c) (dact c) (phi c) (rho c) (B_y c) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg) (Z c) (DL c) (DH c) (G c)
  (rhat c) (dhat c) (product c) (uhat c) (direct c) (wz c) (wr c) (wd c) (wx c) (wg c)
  (fun j => Q2R (error_or (r_sum (L c j)))) (fun j => Q2R (error_or (dr_sum (L c j)))) (fun j => Q2R (product_error (L c j))) (Q2R (fu c)).
Hypothesis all_round : forall j, (j < N c)%nat -> rounding_fits c o j = true.

Variable V : nat -> nat -> nat -> R.
Hypothesis box : forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j.
Variables (T : nat) (x y : nat -> R).
Hypothesis enough : (0 < T <= tokens o)%nat.
Hypothesis Hx : norm (dim c 0) x <= P c 0.
Hypothesis Hy : norm (dim c (N c)) y <= B_y c.

(* Fields of the records above, by name. *)
Lemma root_of j : (j <= N c)%nat -> 0 <= root c j /\ INR (dim c j) <= root c j ^ 2.
Proof. exact (root_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j). Qed.

Lemma signs_of j : (j < N c)%nat -> 0 <= half c j /\ 0 <= e_ qez j /\ 0 <= e_ qer j /\ 0 <= e_ qed j /\ 0 <= e_ qex j /\ 0 <= e_ qeg j.
Proof. exact (positive _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j). Qed.

Lemma forward_of j : (j < N c)%nat ->
  half c j * root c j * P c j + e_ qez j <= Z c j /\ root c (S j) * (A j + e_ qer j) <= P c (S j) /\ - e_ qD j <= DL c j /\ DH c j <= e_ qD j.
Proof. exact (forward _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j). Qed.

Lemma backward_of j : (S j < N c)%nat -> half c (S j) * root c (S (S j)) * e_ qSn (S j) + e_ qeg j <= G c j /\ root c (S j) * G c j <= Gn j.
Proof. exact (backward _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j). Qed.

Lemma act_of j t : (j < N c)%nat -> Rabs t <= Z c j -> Rabs (act c j t) <= A j.
Proof. exact (act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j t). Qed.

Lemma r_lemma_of j t : (j < N c)%nat -> Rabs t <= Z c j -> Rabs (rhat c j t - act c j t) <= Q2R (error_or (r_sum (L c j))).
Proof. exact (r_lemma _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ lm j t). Qed.

Lemma rounded_of j : (j < N c)%nat -> wz c j <= e_ qez j /\ Q2R (error_or (r_sum (L c j))) + wr c j <= e_ qer j.
Proof. intros Hj. destruct (rounded _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ lm j Hj) as (? & ? & _). split; assumption. Qed.

Lemma sizes_row j k q : (j < N c)%nat -> (k < dim c (S j))%nat ->
  sum (dim c j) (fun i => Rabs (V j k i) * Rabs (q i)) <= half c j * root c j * norm (dim c j) q.
Proof.
  intros Hj Hk. eapply Rle_trans; [apply Rle_abs |]. eapply Rle_trans; [apply cauchy |].
  rewrite (norm_abs (dim c j) q). apply Rmult_le_compat_r. apply norm_nonneg.
  destruct (root_of j) as [? ?]; [lia |].
  destruct (signs_of j Hj) as [? _].
  rewrite (Rmult_comm (half c j)). apply norm_bound; auto. intros i Hi. rewrite Rabs_Rabsolu. now apply box.
Qed.

Lemma sizes_column j i q : (j < N c)%nat -> (i < dim c j)%nat ->
  sum (dim c (S j)) (fun k => Rabs (V j k i) * Rabs (q k)) <= half c j * root c (S j) * norm (dim c (S j)) q.
Proof.
  intros Hj Hi. eapply Rle_trans; [apply Rle_abs |]. eapply Rle_trans; [apply cauchy |].
  rewrite (norm_abs (dim c (S j)) q). apply Rmult_le_compat_r. apply norm_nonneg.
  destruct (root_of (S j)) as [? ?]; [lia |].
  destruct (signs_of j Hj) as [? _].
  rewrite (Rmult_comm (half c j)). apply norm_bound; auto. intros k Hk. rewrite Rabs_Rabsolu. now apply box.
Qed.

Lemma row_or_room w f j z above room v : row_fits w (qZ (L c j)) above room = true -> Rabs z <= Z c j ->
  by_machine w f (Q2R above) z (Q2R room) v -> Rabs (v - sum_or w f z) <= Q2R room.
Proof.
  intros Hf Hz Hv. destruct w as [w |]; cbn [by_machine sum_or] in *; [| exact Hv].
  replace z with ((z + Q2R above) - Q2R above) by ring. apply (row_room w (qZ (L c j)) above room); auto.
  replace (z + Q2R above - Q2R above) with z by ring. exact Hz.
Qed.

Ltac round j Hj := let W := fresh "W" in assert (W := all_round j Hj); unfold rounding_fits in W; cbv zeta in W; parts W.

Section Pass.
Variables (p z d g s : nat -> nat -> R).
Hypothesis machine : float_pass c o T V x y p z d g s.

Lemma forward_floats j : (j <= N c)%nat -> norm (dim c j) (p j) <= P c j /\ ((j < N c)%nat -> forall k, (k < dim c (S j))%nat ->
  Rabs (z j k - sum (dim c j) (fun i => V j k i * p j i)) <= wz c j /\ Rabs (z j k) <= Z c j /\
  Rabs (p (S j) k - rhat c j (z j k)) <= wr c j /\ Rabs (d j k - dhat c j (z j k)) <= wd c j).
Proof.
  destruct machine as (M0 & M1 & _).
  assert (Step : forall j, (j < N c)%nat -> norm (dim c j) (p j) <= P c j -> forall k, (k < dim c (S j))%nat ->
    Rabs (z j k - sum (dim c j) (fun i => V j k i * p j i)) <= wz c j /\ Rabs (z j k) <= Z c j /\
    Rabs (p (S j) k - rhat c j (z j k)) <= wr c j /\ Rabs (d j k - dhat c j (z j k)) <= wd c j).
  { clear j. intros j Hj Hp k Hk. destruct (M1 j k Hj Hk) as (Mz & Mr & Md & _). round j Hj.
    destruct (signs_of j Hj) as (H0 & Hez & _).
    destruct (forward_of j Hj) as (Fz & _).
    destruct (root_of j) as [R0 _]; [lia |].
    destruct (rounded_of j Hj) as (Ez & _).
    assert (Sz := sizes_row j k (p j) Hj Hk).
    assert (Hs : half c j * root c j * norm (dim c j) (p j) <= half c j * root c j * P c j) by (apply Rmult_le_compat_l; [apply Rmult_le_pos |]; auto).
    assert (Ez' : 0 <= Q2R (qez (L c j))) by exact Hez.
    assert (Z1 : Rabs (z j k - sum (dim c j) (fun i => V j k i * p j i)) <= wz c j).
    { eapply (read_ok T (tokens o)); [exact enough | eassumption | exact Mz |]. unfold Z in Fz. lra. }
    assert (Z2 : Rabs (z j k) <= Z c j).
    { replace (z j k) with ((z j k - sum (dim c j) (fun i => V j k i * p j i)) + sum (dim c j) (fun i => V j k i * p j i)) by ring.
      eapply Rle_trans. apply Rabs_triang.
      assert (Rabs (sum (dim c j) (fun i => V j k i * p j i)) <= half c j * root c j * P c j).
      { eapply Rle_trans; [| exact Hs]. eapply Rle_trans; [| exact Sz]. rewrite <- dot_total, <- dot_sizes. apply total_sizes. }
      lra. }
    split; [exact Z1 |]. split; [exact Z2 |]. split; unfold rhat, dhat; eapply row_or_room; eauto. }
  induction j as [| j IH]; intros Hj.
  - assert (H : norm (dim c 0) (p 0%nat) <= P c 0) by (rewrite (norm_ext _ _ x); auto). split; auto.
  - destruct IH as (Hp & Hz); [lia |]. assert (Hj' : (j < N c)%nat) by lia. specialize (Hz Hj').
    assert (H : norm (dim c (S j)) (p (S j)) <= P c (S j)); [| split; auto].
    destruct (signs_of j Hj') as (_ & _ & Her & _).
    destruct (forward_of j Hj') as (Fz & Fp & _).
    destruct (root_of (S j)) as [R0 R1]; [lia |].
    destruct (rounded_of j Hj') as (_ & Er).
    eapply Rle_trans; [| exact Fp].
    assert (C : forall k, (k < dim c (S j))%nat -> Rabs (p (S j) k) <= A j + Q2R (qer (L c j))).
    { intros k Hk. destruct (Hz k Hk) as (_ & Z2 & Zr & _).
      assert (F := r_lemma_of j _ Hj' Z2).
      assert (Ac := act_of j _ Hj' Z2).
      replace (p (S j) k) with (act c j (z j k) + ((rhat c j (z j k) - act c j (z j k)) + (p (S j) k - rhat c j (z j k)))) by ring.
      apply Rabs_sum2; [exact Ac |]. eapply Rle_trans. apply Rabs_sum2; eassumption. lra. }
    destruct (dim c (S j)) as [| n] eqn:En.
    + unfold norm. simpl. rewrite sqrt_0. apply Rmult_le_pos; [exact R0 |]. 
      assert (0 <= A j). { eapply Rle_trans; [apply Rabs_pos | apply (act_of j 0 Hj')].
        rewrite Rabs_R0. destruct (signs_of j Hj') as (Hh & Hez & _).
        destruct (root_of j) as [R2 _]; [lia |].
        assert (0 <= P c j) by (eapply Rle_trans; [apply norm_nonneg | exact Hp]).
        assert (0 <= half c j * root c j * P c j) by (apply Rmult_le_pos; [apply Rmult_le_pos |]; auto).
        assert (0 <= Q2R (qez (L c j))) by exact Hez. lra. }
      assert (0 <= Q2R (qer (L c j))) by exact Her. lra.
    + assert (C0 := C 0%nat ltac:(lia)). apply norm_bound; auto. eapply Rle_trans; [apply Rabs_pos | exact C0].
Qed.

(* Whatever g and s are below layer m, they can be replaced by what a pass within the room would have there. *)
Lemma exact_below m : exists g' s' : nat -> nat -> R,
  (forall j k, (m <= j)%nat -> g' j k = g j k /\ s' j k = s j k) /\
  (forall j k, (j < m)%nat -> s' j k = product c j (d j k) (g' j k) /\ g' j k = sum (dim c (S (S j))) (fun l => V (S j) l k * s' (S j) l)).
Proof.
  assert (K : forall m (g s : nat -> nat -> R), exists g' s' : nat -> nat -> R,
    (forall j k, (m <= j)%nat -> g' j k = g j k /\ s' j k = s j k) /\
    (forall j k, (j < m)%nat -> s' j k = product c j (d j k) (g' j k) /\ g' j k = sum (dim c (S (S j))) (fun l => V (S j) l k * s' (S j) l))).
  { clear. induction m as [| m IH]; intros g s. exists g, s. split; [auto | intros; lia].
    set (g1 := fun j k => if Nat.eqb j m then sum (dim c (S (S j))) (fun l => V (S j) l k * s (S j) l) else g j k).
    set (s1 := fun j k => if Nat.eqb j m then product c j (d j k) (g1 j k) else s j k).
    destruct (IH g1 s1) as (g' & s' & H1 & H2). exists g', s'. split.
    - intros j k Hj. destruct (H1 j k ltac:(lia)) as [-> ->]. unfold g1, s1. replace (Nat.eqb j m) with false by (symmetry; apply Nat.eqb_neq; lia). auto.
    - intros j k Hj. destruct (Nat.eq_dec j m) as [-> | Hn]; [| apply H2; lia].
      destruct (H1 m k (Nat.le_refl _)) as [-> ->]. unfold s1 at 1. rewrite Nat.eqb_refl. split; [reflexivity |].
      unfold g1. rewrite Nat.eqb_refl. apply sum_ext. intros l _. destruct (H1 (S m) l ltac:(lia)) as [_ ->].
      unfold s1. replace (Nat.eqb (S m) m) with false by (symmetry; apply Nat.eqb_neq; lia). reflexivity. }
  apply K.
Qed.

Theorem floats_within : block_pass (N c) (dim c) V (rhat c) (dhat c) (product c) (uhat c) (direct c) (rho c) (sigma c) (wz c) (wr c) (wd c) (wx c) (wg c)
  (Z c) (DL c) (DH c) (G c) x y p z d g s.
Proof.
  destruct machine as (M0 & M1 & M2 & M3).
  assert (Fw : forall j k, (j < N c)%nat -> (k < dim c (S j))%nat ->
    Rabs (z j k - sum (dim c j) (fun i => V j k i * p j i)) <= wz c j /\ Rabs (z j k) <= Z c j /\
    Rabs (p (S j) k - rhat c j (z j k)) <= wr c j /\ Rabs (d j k - dhat c j (z j k)) <= wd c j).
  { intros j k Hj Hk. now apply (proj2 (forward_floats j ltac:(lia))). }
  assert (Wpos : forall j, (j < N c)%nat -> 0 <= wx c j /\ 0 <= wg c j).
  { intros j Hj. round j Hj. unfold wx, wg. rewrite <- RMicromega.Q2R_0. split; apply Qle_R; assumption. }
  assert (B3 : forall m i j k, (i + m = N c)%nat -> (m <= j)%nat -> (S j < N c)%nat -> (k < dim c (S j))%nat ->
    Rabs (g j k - sum (dim c (S (S j))) (fun l => V (S j) l k * s (S j) l)) <= wg c j).
  { intros m i. revert m. induction i as [| i IH]; intros m j k Hi Hm Hj Hk; [lia |].
    destruct (Nat.eq_dec j m) as [-> | Hn]; [| apply (IH (S m)); lia].
    destruct (exact_below (S m)) as (g' & s' & Above & Below).
    assert (Pass : block_pass (N c) (dim c) V (rhat c) (dhat c) (product c) (uhat c) (direct c) (rho c) (sigma c) (wz c) (wr c) (wd c) (wx c) (wg c)
      (Z c) (DL c) (DH c) (G c) x y p z d g' s').
    { split; [exact M0 |]. split; [| split].
      - intros a b Ha Hb. destruct (Fw a b Ha Hb) as (F1 & F2 & F3 & F4). repeat split; auto.
        intros Hd Hg. destruct (Nat.le_gt_cases (S m) a) as [Hle | Hlt].
        + destruct (Above a b Hle) as [Eg Es]. rewrite Eg, Es in *. destruct (M1 a b Ha Hb) as (_ & _ & _ & Mx). now apply Mx.
        + destruct (Below a b Hlt) as [-> _]. apply Rabs_zero; [reflexivity |]. now apply Wpos.
      - intros a b Ha Hb Hz. destruct (Above a b ltac:(lia)) as [-> _]. now apply M2.
      - intros a b Ha Hb. destruct (Nat.le_gt_cases (S m) a) as [Hle | Hlt].
        + destruct (Above a b Hle) as [-> _].
          rewrite (sum_ext _ (fun l => V (S a) l b * s' (S a) l) (fun l => V (S a) l b * s (S a) l)).
          * apply (IH (S m)); lia.
          * intros l _. now destruct (Above (S a) l ltac:(lia)) as [_ ->].
        + destruct (Below a b Hlt) as [_ E]. apply Rabs_zero; [exact E |]. apply Wpos; lia. }
    assert (Near : near_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg)
      (Z c) (DL c) (DH c) (G c) x y p z d g' s') by (eapply block_near; [exact lm | exact Hy | exact Pass]).
    assert (Hs : norm (dim c (S (S m))) (s' (S m)) <= Q2R (qSn (L c (S m)))).
    { assert (Gs := fun i => gs_range _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg box x y p z d g' s' Near Hx Hy i). apply (Gs (S m)). lia. }
    rewrite (norm_ext _ _ (s (S m))) in Hs by (intros l _; now apply (Above (S m) l)).
    destruct (backward_of m Hj) as (HG & _).
    destruct (signs_of (S m) Hj) as (Hh & _).
    destruct (signs_of m ltac:(lia)) as (_ & _ & _ & _ & _ & Heg).
    destruct (root_of (S (S m))) as [R0 _]; [lia |].
    assert (Hm' : (m < N c)%nat) by lia. round m Hm'. rewrite (proj2 (Nat.ltb_lt _ _) Hj) in *.
    eapply (read_ok T (tokens o)); [exact enough | eassumption | apply M3; auto |].
    eapply Rle_trans; [apply sizes_column; auto |]. unfold G in HG.
    assert (half c (S m) * root c (S (S m)) * norm (dim c (S (S m))) (s (S m)) <= half c (S m) * root c (S (S m)) * Q2R (qSn (L c (S m)))).
    { apply Rmult_le_compat_l; auto. now apply Rmult_le_pos. }
    assert (0 <= Q2R (qeg (L c m))) by exact Heg. lra. }
  split; [exact M0 |]. split; [| split; [exact M2 |]].
  - intros j k Hj Hk. destruct (Fw j k Hj Hk) as (F1 & F2 & F3 & F4). destruct (M1 j k Hj Hk) as (_ & _ & _ & Mx). repeat split; auto.
  - intros j k Hj Hk. apply (B3 0%nat (N c)); lia || auto.
Qed.
End Pass.
End Composition.

(* The statement of certificate.v for floats: for every number n of examples up to that for which rounding was counted, every
   network V in the box and all prompts within the radii, a block that computes every token as in float_pass, its update within
   eu of the mean, takes a step within eta `bound` of projected descent. *)
Definition step_error_in_floats (c : data) (o : machine_data) : Prop := forall (n : nat) (V : nat -> nat -> nat -> R) (X Y : nat -> nat -> R)
    (p z g s p' z' d' g' s' Gr : nat -> nat -> nat -> R) (eta : R) (face : nat -> R),
  0 <= eta -> (0 < n)%nat -> (S n <= tokens o)%nat ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j) ->
  (forall t, (t < n)%nat ->
     norm (dim c 0) (X t) <= P c 0 /\ norm (dim c (N c)) (Y t) <= B_y c /\
     exact_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (X t) (Y t) (p t) (z t) (g t) (s t) /\
     float_pass c o (S n) V (X t) (Y t) (p' t) (z' t) (d' t) (g' t) (s' t)) ->
  (forall j, (j < N c)%nat -> frob (dim c (S j)) (dim c j)
     (fun k i => Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)) <= eu c j) ->
  stack (N c) (dim c) (fun j k i => clip_to (face j) (V j k i - eta * Gr j k i)
    - clip_to (face j) (V j k i - eta * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta * bound c.

Module Floats (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Pr := Proof F.

Theorem floats_ok prec c o :
  step_error c -> forallb (layer_sums c) (seq 0 (N c)) = true -> (forall j, (j < N c)%nat -> Ce.layer_fits prec c j = true) ->
  loss_sums c = true -> Ce.loss_fits prec c = true -> forallb (rounding_fits c o) (seq 0 (N c)) = true -> step_error_in_floats c o.
Proof.
  intros Step H1 H2 H3 H4 H6.
  intros n V X Y p z g s p' z' d' g' s' Gr eta face Heta Hn Ho Hbox Hpass Hu.
  apply (Step n V X Y p z g s p' z' d' g' s' Gr eta face Heta Hn Hbox); [| exact Hu].
  intros t Ht. destruct (Hpass t Ht) as (Hx & Hy & He & Hf). repeat (split; [assumption |]).
  eapply (floats_within c o); try eassumption.
  - eapply all_ranges; eassumption.
  - eapply all_lemmas; eassumption.
  - intros j Hj. rewrite forallb_forall in H6. apply H6, in_seq. lia.
  - lia.
Qed.
End Floats.
