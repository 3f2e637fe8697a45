(* A block that is computed in binary64 is within the room that a certificate leaves for rounding; the step error of floats. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From Flocq Require Import Core.
From Interval Require Import Float.Sig.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding floats products slope heads.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

(** What a certificate says of the floats: the number of tokens that rounding was counted for; the offsets; and q where the slope of
    the loss is q (p - rho y), so that the last product reads p and y (None: it reads a slot). *)
Record machine_data := Machine { tokens : nat; above_z : list Q; above_g : list Q; last_form : option Q }.

Section Statement.
Variables (c : data) (o : machine_data).
Definition offset_z (j : nat) : R := Q2R (nth j (above_z o) 0%Q).
Definition offset_g (j : nat) : R := Q2R (nth j (above_g o) 0%Q).

Definition by_machine (w : option relus) (f : R -> R) (offset z room y : R) : Prop :=
  match w with Some w => slot_row offset (z + offset) w y | None => Rabs (y - f z) <= room end.

(* The second factor of a product as a form of slots: g with its offset, or u, or p and y. *)
Definition form_of (y : nat -> R) (p g : nat -> nat -> R) (j k : nat) : list (R * R) * R :=
  if Nat.ltb (S j) (N c) then ([(g j k + offset_g j, 1)], - offset_g j) else
  match last_form o with None => ([(g j k, 1)], 0) | Some q => ([(p (S j) k, Q2R q); (y k, - (Q2R q * rho c))], 0) end.

Definition no_units : relus := Relus 1 1 0 [] 1 0.

Definition multiplied (y : nat -> R) (p d g s : nat -> nat -> R) (j k : nat) : Prop :=
  let '(fs, beta) := form_of y p g j k in
  match times (L c j) with
  | Exactly => d j k = 1 /\ s j k = g j k   (* a linear output: g is read as it is *)
  | Centred m => product_row 0 0 (Q2R m) (offset_g j) no_units (d j k) fs beta false (s j k)
  | Squared m a b w => product_row (Q2R a) (Q2R b) (Q2R m) (offset_g j) w (d j k) fs beta true (s j k)
  end.

(* The slope of the loss: a form of slots, which is no float; or a slot of its own that holds a sum of ReLUs: of z, less sigma y
   (logistic); of z - rho y at a linear output, where p is z (squared and huber); of p - rho y, by attention (huber).  Any other is
   within the room that the certificate leaves for it; an export has none, as slope_counted says. *)
Definition slope_by_machine (T : nat) (y : nat -> R) (p z g : nat -> nat -> R) (j k : nat) : Prop :=
  let within := Rabs (z j k) <= Z c j -> Rabs (g j k - (uhat c (if direct c then z j k else p (N c) k - rho c * y k) - sigma c * y k)) <= wg c j in
  match last_form o, u_sum c, own_sum (loss c), times (L c j) with
  | Some q, _, _, _ => g j k = Q2R q * (p (N c) k - rho c * y k)
  | None, Some w, _, _ => if direct c then slope_row (offset_z j) (sigma c) (z j k + offset_z j) (y k) w (g j k) else within
  | None, None, Some w, Exactly => p (N c) k = z j k /\ difference_row (offset_z j) (rho c) (z j k + offset_z j) (y k) w (g j k)
  | None, None, Some w, _ => heads_row T (rho c) (p (N c) k) (y k) w (g j k)
  | None, None, None, _ => within
  end.

(* The pass of block.v for the construction `lean`, with z, p, r', g and products as literal matrices compute them in binary64,
   whatever the order of each sum and with or without fused multiply-adds; T tokens. *)
Definition float_pass (T : nat) (V : nat -> nat -> nat -> R) (x y : nat -> R) (p z d g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim c 0)%nat -> p O i = x i) /\
  (forall j k, (j < N c)%nat -> (k < dim c (S j))%nat ->
     row_read T (dim c j) (p j) (V j k) (offset_z j) (z j k) /\
     by_machine (r_sum (L c j)) (act c j) (offset_z j) (z j k) (wr c j) (p (S j) k) /\
     by_machine (dr_sum (L c j)) (dact c j) (offset_z j) (z j k) (wd c j) (d j k) /\
     (DL c j <= d j k <= DH c j -> Rabs (g j k) <= G c j -> multiplied y p d g s j k)) /\
  (forall j k, S j = N c -> (k < dim c (N c))%nat -> slope_by_machine T y p z g j k) /\
  (forall j k, (S j < N c)%nat -> (k < dim c (S j))%nat ->
     row_read T (dim c (S (S j))) (s (S j)) (fun l => V (S j) l k) (offset_g j) (g j k)).
End Statement.

(** The checks, in rational numbers. *)
Open Scope Q_scope.
Definition square_size (square : option relus) (far : Q) : Q := match square with Some w => (far * weights_size w + biases_size w) / 2 | None => 0 end.
Definition square_weights (square : option relus) : Q := match square with Some w => weights_size w / 2 | None => 0 end.
Definition square_units (square : option relus) : nat := match square with Some w => 2 * length (units w) | None => 0 end.

(* A row of products: factors a and b, centre m; r' up to D, the other factor up to range, its form of size Sg. *)
Definition product_fits_in (a b m : Q) (square : option relus) (range above D Sg room : Q) : bool :=
  let M := (1 + square_units square)%nat in let far := a * (D + Qabs m) + b * Sg in
  let size := Qabs m * (Sg + 2 * above) + square_size square far in
  let k := 8 * (Qabs m + square_weights square) + 2 * of_nat (S M) in
  le 0 a && le 0 b && le 0 above && le range above && fits_in (M + 13) k size room && stays_finite 1 (M + 13) k size &&
  stays_finite 1 8 8 (Sg + above) && match square with Some w => le 0 (weights_size w) && stays_finite 1 8 8 (far + largest_bias w) | None => true end.

Definition form_bound (c : data) (o : machine_data) (j : nat) : Q :=
  let l := L c j in
  if Nat.ltb (S j) (N c) then qG l + 2 * nth j (above_g o) 0 else
  match last_form o with None => qG l | Some q => Qabs q * (qA l + qer l) + Qabs q * qrho c * qBy c end.

(* The form in the matrices is the slope of the loss, or the room for rounding of a slot is enough. *)
Definition form_fits (c : data) (o : machine_data) : bool :=
  let j := (N c - 1)%nat in let l := L c j in let above := nth j (above_z o) 0 in
  match last_form o, u_sum c with
  | Some q, None => match factor c with Some f => Qeq_bool f q && negb (direct c) | None => false end
  | Some _, Some _ => false
  | None, Some w => if direct c then slope_fits w (qsigma c) (qBy c) (qZ l) above (qwg l) else true
  | None, None => match own_sum (loss c), times l with
      | Some w, Exactly => negb (direct c) && Qeq_bool (qsigma c) 0 && difference_fits w (qrho c) (qBy c) (qZ l) above (qwg l)
      | Some w, _ => negb (direct c) && Qeq_bool (qsigma c) 0 && heads_fit w (tokens o) (qrho c) (qBy c) (qA l + qer l) (qwg l)
      | None, _ => true
      end
  end.

(* Whether the rounding of the loss slope is among what is proved. *)
Definition slope_counted (c : data) (o : machine_data) : bool :=
  match last_form o, u_sum c, own_sum (loss c) with Some _, _, _ => true | None, Some _, _ => direct c | None, None, Some _ => true | None, None, None => false end.

Definition rounding_fits (c : data) (o : machine_data) (j : nat) : bool :=
  let l := L c j in let T := tokens o in let above := nth j (above_g o) 0 in let Sg := form_bound c o j in
  le 0 (qwx l) && le 0 (qwg l) && read_fits T (dim c j) (qZ l) (nth j (above_z o) 0) (qwz l) &&
  row_fits (r_sum l) (qZ l) (nth j (above_z o) 0) (qwr l) && row_fits (dr_sum l) (qZ l) (nth j (above_z o) 0) (qwd l) &&
  (if Nat.ltb (S j) (N c) then read_fits T (dim c (S (S j))) (qG l) above (qwg l) else form_fits c o) &&
  match times l with
  | Exactly => true
  | Centred m => product_fits_in 0 0 m None (qG l) above (qD l) Sg (qwx l)
  | Squared m a b w => product_fits_in a b m (Some w) (qG l) above (qD l) Sg (qwx l)
  end.
Close Scope Q_scope.

Lemma product_room a b m w (square : bool) range above D Sg room x fs beta y :
  product_fits_in a b m (if square then Some w else None) range above D Sg room = true ->
  Rabs x <= Q2R D -> form_size fs + Rabs beta <= Q2R Sg -> (length fs <= 2)%nat -> Rabs (form_sum fs + beta) <= Q2R range ->
  product_row (Q2R a) (Q2R b) (Q2R m) (Q2R above) w x fs beta square y ->
  Rabs (y - row_gives (Q2R a) (Q2R b) (Q2R m) w x fs beta square) <= Q2R room.
Proof.
  intros H Hx Hf Hl Hg Hy. unfold product_fits_in in H. cbv zeta in H. apply andb_true_iff in H; destruct H as [H Hq]. apply andb_true_iff in H; destruct H as [H Hlin].
  apply andb_true_iff in H; destruct H as [H Hbig]. apply andb_true_iff in H; destruct H as [H Hfit]. apply andb_true_iff in H; destruct H as [H Hra].
  apply andb_true_iff in H; destruct H as [H Hab]. apply andb_true_iff in H; destruct H as [Ha Hb].
  apply Qle_R in Ha, Hb, Hab, Hra. rewrite RMicromega.Q2R_0 in Ha, Hb, Hab.
  apply fits_in_ok in Hfit. apply stays_finite_ok in Hbig, Hlin. destruct Hfit as (Hk & Hs & Hroom).
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). assert (E8 : Q2R 8 = 8) by (unfold Q2R; simpl; lra).
  set (far := Q2R a * (Q2R D + Rabs (Q2R m)) + Q2R b * Q2R Sg).
  assert (Sq : Q2R (square_size (if square then Some w else None) (a * (D + Qabs m) + b * Sg)) =
    if square then (far * Q2R (weights_size w) + Q2R (biases_size w)) / 2 else 0).
  { destruct square; cbn [square_size]; [| apply RMicromega.Q2R_0]. unfold far. now rewrite Q2R_half, Q2R_plus, Q2R_mult, Q2R_plus, !Q2R_mult, Q2R_plus, Q2R_abs. }
  assert (Wq : Q2R (square_weights (if square then Some w else None)) = if square then Q2R (weights_size w) / 2 else 0).
  { destruct square; cbn [square_weights]; [apply Q2R_half | apply RMicromega.Q2R_0]. }
  assert (Uq : square_units (if square then Some w else None) = if square then (2 * length (units w))%nat else 0%nat) by (destruct square; reflexivity).
  assert (Wpos : square = true -> 0 <= Q2R (weights_size w) /\ (1 + u) ^ 8 * (far + Q2R (largest_bias w) + 8 * machine.w) < huge).
  { intros ->. apply andb_true_iff in Hq; destruct Hq as [Hq1 Hq2]. apply Qle_R in Hq1. rewrite RMicromega.Q2R_0 in Hq1. split; [exact Hq1 |].
    apply stays_finite_ok in Hq2. unfold far. rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_abs, E1, E8, Rmult_1_l in Hq2. exact Hq2. }
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?of_nat_ok, ?Q2R_abs, ?E1, ?E2, ?E8, ?Sq, ?Wq, ?Rmult_1_l in *. rewrite Uq in *.
  eapply Rle_trans; [| exact Hroom]. clear Hroom Sq Wq Uq.
  apply (product_row_ok (Q2R a) (Q2R b) (Q2R m) (Q2R above) w x fs beta (Q2R D) (Q2R Sg)); auto; try lra.
  - destruct square; [now apply Wpos |]. unfold weights_size. rewrite Q2R_frac. apply Rmult_le_pos; [| generalize (inv_pos (weights w)); lra].
    apply IZR_le. induction (units w) as [| [[? ?] ?] us IH]; cbn [map fold_right]; lia.
  - intros Hsq. now apply Wpos.
Qed.

(** The pass of a machine is a pass within the room. *)
Section Composition.
Variables (c : data) (o : machine_data).
Notation A := (fun j => Q2R (qA (L c j))).
Notation e_ f := (fun j => Q2R (f (L c j))).
Hypothesis rg : its_ranges c.
Hypothesis lm : its_lemmas c.
Hypothesis all_round : forall j, (j < N c)%nat -> rounding_fits c o j = true.

Hypothesis signs : 0 <= rho c.

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

Lemma backward_of j : (S j < N c)%nat -> half c (S j) * root c (S (S j)) * e_ qSn (S j) + e_ qeg j <= G c j /\ root c (S j) * G c j <= norm_of_g c j.
Proof. exact (backward _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j). Qed.

Lemma act_of j t : (j < N c)%nat -> Rabs t <= Z c j -> Rabs (act c j t) <= A j.
Proof. exact (act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg j t). Qed.

Lemma r_lemma_of j t : (j < N c)%nat -> Rabs t <= Z c j -> Rabs (rhat c j t - act c j t) <= Q2R (error_or (r_sum (L c j))).
Proof. exact (r_lemma _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ lm j t). Qed.

Lemma rounded_of j : (j < N c)%nat -> wz c j <= e_ qez j /\ Q2R (error_or (r_sum (L c j))) + wr c j <= e_ qer j.
Proof. intros Hj. destruct (rounded _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ lm j Hj) as (? & ? & _). split; assumption. Qed.

Lemma rho_pos : 0 <= rho c /\ 0 <= B_y c.
Proof. split; [exact signs | exact (radius _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ rg)]. Qed.

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

(* What p adds up to in the last layer, with its error. *)
Lemma own_size j k : (j < N c)%nat -> (k < dim c (S j))%nat -> Rabs (p (S j) k) <= A j + Q2R (qer (L c j)).
Proof.
  intros Hj Hk. destruct (proj2 (forward_floats j ltac:(lia)) Hj k Hk) as (_ & Z2 & Zr & _).
  destruct (rounded_of j Hj) as (_ & Er). assert (F := r_lemma_of j _ Hj Z2). assert (Ac := act_of j _ Hj Z2).
  replace (p (S j) k) with (act c j (z j k) + ((rhat c j (z j k) - act c j (z j k)) + (p (S j) k - rhat c j (z j k)))) by ring.
  apply Rabs_sum2; [exact Ac |]. eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
Qed.

Lemma slope_within j k : S j = N c -> (k < dim c (N c))%nat -> Rabs (z j k) <= Z c j ->
  Rabs (g j k - (uhat c (if direct c then z j k else p (N c) k - rho c * y k) - sigma c * y k)) <= wg c j.
Proof.
  destruct machine as (_ & _ & M2 & _). intros Hj Hk Hz. specialize (M2 j k Hj Hk). assert (Hj' : (j < N c)%nat) by lia. round j Hj'.
  replace (Nat.ltb (S j) (N c)) with false in * by (symmetry; apply Nat.ltb_ge; lia).
  match goal with X : form_fits c o = true |- _ => rename X into Fm end.
  assert (Yk : Rabs (y k) <= B_y c) by (eapply Rle_trans; [apply (norm_coordinate (dim c (N c)) y); exact Hk | exact Hy]).
  assert (Away : z j k + Q2R (nth j (above_z o) 0%Q) - Q2R (nth j (above_z o) 0%Q) = z j k) by ring.
  unfold form_fits in Fm. unfold slope_by_machine in M2. cbv zeta in M2, Fm. replace (N c - 1)%nat with j in Fm by lia.
  destruct (last_form o) as [q |]; [destruct (u_sum c) as [w |] eqn:Ew; [discriminate |] | destruct (u_sum c) as [w |] eqn:Ew].
  - clear Hz. unfold factor in Fm. unfold uhat, phi, slope_value. rewrite Ew.
    destruct (loss c) as [[| | | | [| f | | | | |] [| | | | | |] | |] |]; try discriminate.
    destruct (le 0 f && Qeq_bool (qsigma c) 0) eqn:Es; [| discriminate]. apply andb_true_iff in Fm. destruct Fm as [Fq Fd].
    apply Qeq_bool_eq, Qeq_eqR in Fq. apply negb_true_iff in Fd. apply andb_true_iff in Es. destruct Es as [_ Es].
    apply Qeq_bool_eq, Qeq_eqR in Es. rewrite RMicromega.Q2R_0 in Es. unfold sigma. rewrite Fd, Es, M2. cbn [sum_or value]. rewrite Fq.
    apply Rabs_zero; [ring |]. unfold wg. rewrite <- RMicromega.Q2R_0. now apply Qle_R.
  - destruct (direct c); [| now apply M2]. unfold uhat. rewrite Ew. cbn [sum_or]. rewrite <- Away at 1.
    eapply slope_room; [exact Fm | rewrite Away; exact Hz | exact Yk | exact M2].
  - destruct (own_sum (loss c)) as [w |] eqn:Eo; [| now apply M2]. unfold uhat, phi. rewrite Ew. cbn [sum_or].
    assert (Zero : Qeq_bool (qsigma c) 0 = true -> sigma c = 0) by (intros E; apply Qeq_bool_eq, Qeq_eqR in E; rewrite RMicromega.Q2R_0 in E; exact E).
    destruct (times (L c j)) eqn:Et; parts Fm; repeat match goal with X : negb (direct c) = true |- _ => apply negb_true_iff in X; rewrite X end;
      rewrite (Zero ltac:(assumption)), <- (own_sum_ok _ _ _ Eo), Rmult_0_l, Rminus_0_r.
    + destruct M2 as [-> Row]. rewrite <- Away at 1. eapply difference_room; [eassumption | rewrite Away; exact Hz | exact Yk | exact Row].
    + eapply heads_room; [exact enough | eassumption | | exact Yk | exact M2]. rewrite Q2R_plus, <- Hj. apply own_size; [exact Hj' | now rewrite Hj].
    + eapply heads_room; [exact enough | eassumption | | exact Yk | exact M2]. rewrite Q2R_plus, <- Hj. apply own_size; [exact Hj' | now rewrite Hj].
Qed.

Lemma multiplied_ok j k : (j < N c)%nat -> (k < dim c (S j))%nat -> DL c j <= d j k <= DH c j -> Rabs (g j k) <= G c j ->
  multiplied c o y p d g s j k -> Rabs (s j k - product c j (d j k) (g j k)) <= wx c j.
Proof.
  intros Hj Hk Hd Hg Hm. round j Hj. destruct (forward_of j Hj) as (_ & _ & D1 & D2).
  assert (HD : Rabs (d j k) <= Q2R (qD (L c j))) by (apply Rabs_le; lra).
  assert (Own := own_size j k Hj Hk).
  unfold multiplied in Hm. destruct (form_of c o y p g j k) as [fs beta] eqn:Ef. unfold product in *.
  assert (Eg : g j k = form_sum fs + beta).
  { unfold form_of in Ef. unfold form_sum. destruct (Nat.ltb (S j) (N c)) eqn:El; [injection Ef as <- <-; cbn [map total]; ring |].
    apply Nat.ltb_ge in El. assert (Ej : S j = N c) by lia. destruct machine as (_ & _ & M2 & _). specialize (M2 j k Ej). unfold slope_by_machine in M2. cbv zeta in M2. rewrite <- Ej in M2.
    specialize (M2 Hk). destruct (last_form o) as [q |]; injection Ef as <- <-; cbn [map total]; [rewrite M2 |]; ring. }
  assert (Form : form_size fs + Rabs beta <= Q2R (form_bound c o j) /\ (length fs <= 2)%nat).
  { unfold form_of in Ef. unfold form_bound. assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). destruct (Nat.ltb (S j) (N c)) eqn:El.
    - injection Ef as <- <-. match goal with X : read_fits _ _ (qG _) _ _ = true |- _ => rename X into Rg end.
      unfold read_fits in Rg. apply andb_true_iff in Rg; destruct Rg as [Rg _]. apply andb_true_iff in Rg; destruct Rg as [Rg _]. apply Qle_R in Rg.
      fold (offset_g o j) in Rg. assert (O0 : 0 <= offset_g o j) by (eapply Rle_trans; [apply Rabs_pos |]; eapply Rle_trans; [exact Hg | exact Rg]).
      unfold form_size. cbn [map total length]. rewrite Rabs_R1, Rabs_Ropp, (Rabs_pos_eq (offset_g o j)), Q2R_plus, Q2R_mult, E2 by exact O0. fold (offset_g o j) (G c j).
      assert (Tr := Rabs_triang (g j k) (offset_g o j)). rewrite (Rabs_pos_eq (offset_g o j)) in Tr by exact O0. split; [lra | lia].
    - apply Nat.ltb_ge in El. assert (Ej : S j = N c) by lia. destruct (last_form o) as [q |]; injection Ef as <- <-; unfold form_size; cbn [map total length]; rewrite Rabs_R0.
      + rewrite Q2R_plus, !Q2R_mult, Q2R_plus, Q2R_abs, Rabs_Ropp, Rabs_mult. fold (rho c) (B_y c).
        assert (Yk : Rabs (y k) <= B_y c) by (eapply Rle_trans; [apply (norm_coordinate (dim c (N c))); rewrite <- Ej; exact Hk | exact Hy]).
        destruct rho_pos as [R0 _]. rewrite (Rabs_pos_eq (rho c)) by exact R0. assert (Q0 := Rabs_pos (Q2R q)).
        assert (Rabs (p (S j) k) * Rabs (Q2R q) <= (A j + Q2R (qer (L c j))) * Rabs (Q2R q)) by now apply Rmult_le_compat_r.
        assert (Rabs (y k) * (Rabs (Q2R q) * rho c) <= B_y c * (Rabs (Q2R q) * rho c)) by (apply Rmult_le_compat_r; [now apply Rmult_le_pos | exact Yk]).
        split; [lra | lia].
      + rewrite Rabs_R1. fold (G c j). split; [lra | lia]. }
  destruct Form as [Fz Fl]. destruct (times (L c j)) as [| m | m a b w].
  - destruct Hm as [-> ->]. apply Rabs_zero; [ring |]. unfold wx. rewrite <- RMicromega.Q2R_0. now apply Qle_R.
  - assert (R := product_room 0 0 m no_units false (qG (L c j)) (nth j (above_g o) 0%Q) (qD (L c j)) (form_bound c o j) (qwx (L c j)) (d j k) fs beta (s j k)).
    rewrite !RMicromega.Q2R_0 in R. fold (offset_g o j) in R. rewrite <- Eg in R. unfold row_gives in R. rewrite Rplus_0_r, <- Eg in R. apply R; auto.
  - assert (R := product_room a b m w true (qG (L c j)) (nth j (above_g o) 0%Q) (qD (L c j)) (form_bound c o j) (qwx (L c j)) (d j k) fs beta (s j k)).
    fold (offset_g o j) in R. unfold row_gives in R. rewrite <- Eg in R. apply R; auto.
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
        + destruct (Above a b Hle) as [Eg Es]. rewrite Eg, Es in *. destruct (M1 a b Ha Hb) as (_ & _ & _ & Mx). apply multiplied_ok; auto.
        + destruct (Below a b Hlt) as [-> _]. apply Rabs_zero; [reflexivity |]. now apply Wpos.
      - intros a b Ha Hb Hz. destruct (Above a b ltac:(lia)) as [-> _]. now apply slope_within.
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
  split; [exact M0 |]. split; [| split; [exact slope_within |]].
  - intros j k Hj Hk. destruct (Fw j k Hj Hk) as (F1 & F2 & F3 & F4). destruct (M1 j k Hj Hk) as (_ & _ & _ & Mx). repeat split; auto. intros Hd Hg. apply multiplied_ok; auto.
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
  - now apply (loss_signs c).
  - lia.
Qed.
End Floats.
