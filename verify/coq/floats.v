(* Rows of V that are read, and sums of ReLUs, in binary64: within the room that a certificate leaves for their rounding. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From Flocq Require Import Core.
From Interval Require Import Float.Sig.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

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

Lemma signs_of_reals v : List.Forall (fun '(a, _, _) => Rabs a = 1) (reals_of v).
Proof.
  unfold reals_of. apply Forall_forall. intros p Hp. apply in_map_iff in Hp. destruct Hp as ([[s b] c'] & <- & _).
  destruct s; cbn [sign_of]; [apply Rabs_R1 |]. rewrite Rabs_left; lra.
Qed.

Lemma slot_units_ok offset range x hs v : 0 <= offset -> Rabs (x - offset) <= range -> Forall2 (slot_unit offset x) hs (reals_of v) ->
  Forall2 (unit_ok 2) hs (row_program offset range (x - offset) v).
Proof.
  intros Ho Hx Hu. assert (Signs := signs_of_reals v). unfold row_program. assert (U := u_pos). assert (R0 : 0 <= range) by (eapply Rle_trans; [apply Rabs_pos | exact Hx]).
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

Lemma slot_row_row offset range x v y : 0 <= offset -> Rabs (x - offset) <= range -> slot_row offset x v y ->
  exists f, y = value_of f /\ row 2 (constant_of v) (row_program offset range (x - offset) v) f.
Proof.
  intros Ho Hx (hs & t & k & Hu & Hk & Ht & ->). exists (eval t). split; [reflexivity |]. exists hs, t, k.
  split; [now apply slot_units_ok | split; [exact Hk | split; [exact Ht | reflexivity]]].
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
