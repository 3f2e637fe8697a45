(* Sums in binary64 as a machine computes them: in any order, fused or not, with underflow; and why none overflows.
   The operations are those of Flocq's IEEE-754, round to nearest even. *)
From Coq Require Import Reals List Lra Lia Psatz Permutation ZArith Bool.
From Flocq Require Import Core Relative BinarySingleNaN.
Import ListNotations.
Open Scope R_scope.

#[export] Instance precision_positive : Prec_gt_0 53 := eq_refl.
#[export] Instance precision_small : Prec_lt_emax 53 1024 := eq_refl.
Definition float := binary_float 53 1024.
Definition value_of (x : float) : R := B2R x.

(* Unit roundoff, what an underflowing product is off by, and what no number may reach. *)
Definition u : R := / 2 * bpow radix2 (-53 + 1).
Definition w : R := / 2 * bpow radix2 (-1074).
Definition huge : R := bpow radix2 1024.

Definition round64 (x : R) : R := round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) x.

Lemma u_pos : 0 < u.
Proof. unfold u. generalize (bpow_gt_0 radix2 (-53 + 1)). lra. Qed.

Lemma w_pos : 0 < w.
Proof. unfold w. generalize (bpow_gt_0 radix2 (-1074)). lra. Qed.

Lemma round64_ok x : exists d e, Rabs d <= u /\ Rabs e <= w /\ round64 x = x * (1 + d) + e.
Proof.
  destruct (error_N_FLT radix2 (-1074) 53 ltac:(lia) (fun x => negb (Z.even x)) x) as (d & e & Hd & He & _ & H).
  exists d, e. repeat split; auto.
Qed.

(* A sum as a tree of operations on floats; Num is a float as it is, Prod a rounded product, Fma x y t is x y + t rounded once. *)
Inductive tree := Num (x : float) | Prod (x y : float) | Add (s t : tree) | Fma (x y : float) (t : tree).

Fixpoint eval (t : tree) : float :=
  match t with
  | Num x => x | Prod x y => Bmult mode_NE x y | Add s t => Bplus mode_NE (eval s) (eval t) | Fma x y t => Bfma mode_NE x y (eval t)
  end.

(* What it adds up, as real numbers. *)
Fixpoint terms (t : tree) : list R :=
  match t with
  | Num x => [value_of x] | Prod x y => [value_of x * value_of y] | Add s t => terms s ++ terms t | Fma x y t => value_of x * value_of y :: terms t
  end.

Fixpoint finite (t : tree) : bool :=
  match t with
  | Num x => is_finite x | Prod x y => is_finite x && is_finite y | Add s t => finite s && finite t
  | Fma x y t => is_finite x && is_finite y && finite t
  end.

(* The most roundings that a term meets, and the number of operations. *)
Fixpoint depth (t : tree) : nat :=
  match t with Num _ => 0 | Prod _ _ => 1 | Add s t => S (max (depth s) (depth t)) | Fma _ _ t => S (depth t) end.

Fixpoint operations (t : tree) : nat :=
  match t with Num _ => 0 | Prod _ _ => 1 | Add s t => S (operations s + operations t) | Fma _ _ t => S (operations t) end.

Fixpoint total (l : list R) : R := match l with [] => 0 | x :: l => x + total l end.
Fixpoint sizes (l : list R) : R := match l with [] => 0 | x :: l => Rabs x + sizes l end.

Lemma total_app l l' : total (l ++ l') = total l + total l'.
Proof. induction l; simpl; lra. Qed.
Lemma sizes_app l l' : sizes (l ++ l') = sizes l + sizes l'.
Proof. induction l; simpl; lra. Qed.
Lemma total_perm l l' : Permutation l l' -> total l = total l'.
Proof. induction 1; simpl; lra. Qed.
Lemma sizes_perm l l' : Permutation l l' -> sizes l = sizes l'.
Proof. induction 1; simpl; lra. Qed.
Lemma sizes_pos l : 0 <= sizes l.
Proof. induction l; simpl; [lra | generalize (Rabs_pos a); lra]. Qed.
Lemma total_sizes l : Rabs (total l) <= sizes l.
Proof. induction l; simpl. rewrite Rabs_R0; lra. eapply Rle_trans. apply Rabs_triang. lra. Qed.

Lemma grow n m : (n <= m)%nat -> 1 <= (1 + u) ^ n <= (1 + u) ^ m.
Proof. assert (H := u_pos). split. apply pow_R1_Rle; lra. apply Rle_pow; auto; lra. Qed.

(* A bound on a tree's value: what it adds up, grown by its roundings. *)
Definition reach (n k : nat) (s : R) : R := (1 + u) ^ n * (s + INR k * w).
Definition off_by (n k : nat) (s : R) : R := ((1 + u) ^ n - 1) * s + INR k * (1 + u) ^ n * w.

Lemma reach_grows n k s n' k' s' : (n <= n')%nat -> (k <= k')%nat -> 0 <= s <= s' -> reach n k s <= reach n' k' s'.
Proof.
  intros Hn Hk Hs. unfold reach. destruct (grow n n' Hn). assert (W := w_pos). assert (K := pos_INR k). apply le_INR in Hk.
  apply Rmult_le_compat; try lra; nra.
Qed.

Lemma off_grows n k s n' k' s' : (n <= n')%nat -> (k <= k')%nat -> 0 <= s <= s' -> off_by n k s <= off_by n' k' s'.
Proof.
  intros Hn Hk Hs. unfold off_by. destruct (grow n n' Hn). assert (W := w_pos). assert (K := pos_INR k). apply le_INR in Hk.
  apply Rplus_le_compat. apply Rmult_le_compat; lra. apply Rmult_le_compat_r. lra. apply Rmult_le_compat; lra.
Qed.

(* One rounded operation on x, near X within a and in size at most r. *)
Lemma rounding_step x X a r : Rabs (x - X) <= a -> Rabs x <= r -> 0 <= a ->
  Rabs (round64 x - X) <= a + u * r + w /\ Rabs (round64 x) <= (1 + u) * r + w.
Proof.
  intros Hx Hr Ha. destruct (round64_ok x) as (d & e & Hd & He & ->). assert (U := u_pos).
  assert (D : Rabs (x * d) <= u * r). { rewrite Rabs_mult, Rmult_comm. apply Rmult_le_compat; auto using Rabs_pos. }
  split.
  - replace (x * (1 + d) + e - X) with ((x - X) + (x * d + e)) by ring.
    eapply Rle_trans. apply Rabs_triang. assert (H := Rabs_triang (x * d) e). lra.
  - replace (x * (1 + d) + e) with (x + (x * d + e)) by ring.
    eapply Rle_trans. apply Rabs_triang. assert (H := Rabs_triang (x * d) e). lra.
Qed.

Lemma below_huge x : Rabs x < huge -> Rlt_bool (Rabs x) (bpow radix2 1024) = true.
Proof. apply Rlt_bool_true. Qed.

Theorem eval_ok t : finite t = true -> reach (depth t) (operations t) (sizes (terms t)) < huge ->
  is_finite (eval t) = true /\ Rabs (value_of (eval t) - total (terms t)) <= off_by (depth t) (operations t) (sizes (terms t)).
Proof.
  assert (U := u_pos). assert (W := w_pos). induction t as [x | x y | s IHs t IHt | x y t IHt]; cbn [finite depth operations terms eval]; intros F H.
  - split; auto. unfold off_by. simpl. replace (value_of x - (value_of x + 0)) with 0 by ring. rewrite Rabs_R0. lra.
  - apply andb_prop in F. destruct F as [Fx Fy]. unfold value_of in *. cbn [sizes total] in *.
    set (p := B2R x * B2R y) in *. rewrite Rplus_0_r in *.
    destruct (rounding_step p p 0 (Rabs p)) as [E S]; [rewrite Rminus_diag_eq, Rabs_R0; lra | lra | lra |].
    assert (HS : Rabs (round64 p) < huge). { eapply Rle_lt_trans; [exact S |]. eapply Rle_lt_trans; [| exact H].
      unfold reach. simpl. nra. }
    generalize (Bmult_correct 53 1024 _ _ mode_NE x y). fold p. change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) p) with (round64 p).
    rewrite (below_huge _ HS). intros (V & Fin & _). rewrite Fx, Fy in Fin. split; [exact Fin |].
    rewrite V. eapply Rle_trans; [exact E |]. unfold off_by. simpl. nra.
  - apply andb_prop in F. destruct F as [Fs Ft]. rewrite sizes_app, total_app in *.
    set (n := max (depth s) (depth t)) in *. set (k := (operations s + operations t)%nat) in *.
    assert (Ss := sizes_pos (terms s)). assert (St := sizes_pos (terms t)).
    assert (B : reach n k (sizes (terms s) + sizes (terms t)) <= reach (S n) (S k) (sizes (terms s) + sizes (terms t))) by (apply reach_grows; lia || lra).
    destruct (IHs Fs) as [Vs Es]. { eapply Rle_lt_trans; [| exact H]. apply reach_grows; unfold n, k; lia || lra. }
    destruct (IHt Ft) as [Vt Et]. { eapply Rle_lt_trans; [| exact H]. apply reach_grows; unfold n, k; lia || lra. }
    unfold value_of in *. set (x := B2R (eval s)) in *. set (y := B2R (eval t)) in *.
    set (X := total (terms s)) in *. set (Y := total (terms t)) in *.
    assert (Q := grow n n (Nat.le_refl _)). set (q := (1 + u) ^ n) in *.
    assert (Es' : Rabs (x - X) <= (q - 1) * sizes (terms s) + INR (operations s) * q * w).
    { eapply Rle_trans; [exact Es |]. apply off_grows; unfold n; lia || lra. }
    assert (Et' : Rabs (y - Y) <= (q - 1) * sizes (terms t) + INR (operations t) * q * w).
    { eapply Rle_trans; [exact Et |]. apply off_grows; unfold n; lia || lra. }
    set (a := (q - 1) * (sizes (terms s) + sizes (terms t)) + INR k * q * w).
    assert (E : Rabs (x + y - (X + Y)) <= a).
    { replace (x + y - (X + Y)) with ((x - X) + (y - Y)) by ring. eapply Rle_trans. apply Rabs_triang.
      unfold a, k. rewrite plus_INR. lra. }
    assert (TX := total_sizes (terms s)). assert (TY := total_sizes (terms t)). fold X in TX. fold Y in TY.
    assert (R : Rabs (x + y) <= reach n k (sizes (terms s) + sizes (terms t))).
    { replace (x + y) with ((x + y - (X + Y)) + (X + Y)) by ring. eapply Rle_trans. apply Rabs_triang.
      assert (T := Rabs_triang X Y). unfold reach. fold q. unfold a in E. lra. }
    assert (Ha : 0 <= a). { eapply Rle_trans; [apply Rabs_pos | exact E]. }
    destruct (rounding_step (x + y) (X + Y) a _ E R Ha) as [E1 S1].
    assert (HS : Rabs (round64 (x + y)) < huge).
    { eapply Rle_lt_trans; [exact S1 |]. eapply Rle_lt_trans; [| exact H]. unfold reach. rewrite S_INR. simpl pow. fold q.
      assert (0 <= INR k) by apply pos_INR. assert (w <= (1 + u) * q * w). { rewrite <- (Rmult_1_l w) at 1. apply Rmult_le_compat_r; [lra | nra]. } nra. }
    generalize (Bplus_correct 53 1024 _ _ mode_NE (eval s) (eval t) Vs Vt). fold x y.
    change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (x + y)) with (round64 (x + y)).
    rewrite (below_huge _ HS). intros (V & Fin & _). split; [exact Fin |]. rewrite V. eapply Rle_trans; [exact E1 |].
    unfold off_by, reach, a. rewrite S_INR. simpl pow. fold q. assert (0 <= INR k) by apply pos_INR.
    assert (w <= (1 + u) * q * w). { rewrite <- (Rmult_1_l w) at 1. apply Rmult_le_compat_r; [lra | nra]. } nra.
  - apply andb_prop in F. destruct F as [F Ft]. apply andb_prop in F. destruct F as [Fx Fy].
    cbn [sizes total] in *. unfold value_of in *. set (p := B2R x * B2R y) in *.
    set (n := depth t) in *. set (k := operations t) in *. assert (St := sizes_pos (terms t)). assert (Pp := Rabs_pos p).
    destruct (IHt Ft) as [Vt Et]. { eapply Rle_lt_trans; [| exact H]. apply reach_grows; lia || lra. }
    set (y' := B2R (eval t)) in *. set (Y := total (terms t)) in *.
    assert (Q := grow n n (Nat.le_refl _)). unfold off_by in Et. set (q := (1 + u) ^ n) in *.
    set (a := (q - 1) * (Rabs p + sizes (terms t)) + INR k * q * w).
    assert (K := pos_INR k).
    assert (E : Rabs (p + y' - (p + Y)) <= a).
    { replace (p + y' - (p + Y)) with (y' - Y) by ring. eapply Rle_trans; [exact Et |]. unfold a. nra. }
    assert (TY := total_sizes (terms t)). fold Y in TY.
    assert (R : Rabs (p + y') <= reach n k (Rabs p + sizes (terms t))).
    { replace (p + y') with ((p + y' - (p + Y)) + (p + Y)) by ring. eapply Rle_trans. apply Rabs_triang.
      assert (T := Rabs_triang p Y). unfold reach. fold q. unfold a in E. lra. }
    assert (Ha : 0 <= a). { eapply Rle_trans; [apply Rabs_pos | exact E]. }
    destruct (rounding_step (p + y') (p + Y) a _ E R Ha) as [E1 S1].
    assert (W1 : w <= (1 + u) * q * w). { rewrite <- (Rmult_1_l w) at 1. apply Rmult_le_compat_r; [lra | nra]. }
    assert (HS : Rabs (round64 (p + y')) < huge).
    { eapply Rle_lt_trans; [exact S1 |]. eapply Rle_lt_trans; [| exact H]. unfold reach. rewrite S_INR. simpl pow. fold q. nra. }
    generalize (Bfma_correct 53 1024 _ _ mode_NE x y (eval t) Fx Fy Vt). cbv zeta. fold p y'.
    change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (p + y')) with (round64 (p + y')).
    rewrite (below_huge _ HS). intros (V & Fin & _). split; [exact Fin |]. rewrite V. eapply Rle_trans; [exact E1 |].
    unfold off_by, reach, a. rewrite S_INR. simpl pow. fold q. nra.
Qed.

(* However a sum is arranged, a term meets at most as many roundings as there are terms. *)
Lemma depth_length t : (1 <= length (terms t) /\ depth t <= length (terms t) /\ operations t < 2 * length (terms t))%nat.
Proof. induction t; cbn [terms depth operations length]; rewrite ?app_length; lia. Qed.

(* Higham's form: a power of 1 + u is at most 1 / (1 - n u). *)
Lemma small_powers n : INR n * u < 1 -> (1 + u) ^ n * (1 - INR n * u) <= 1.
Proof.
  assert (U := u_pos). induction n as [| n IH]; intros H. simpl; lra.
  rewrite S_INR in *. simpl pow. assert (N0 := pos_INR n). assert (IH' := IH ltac:(nra)).
  assert (P0 : 0 < (1 + u) ^ n) by (apply pow_lt; lra).
  apply Rle_trans with ((1 + u) ^ n * (1 - INR n * u)); auto.
  replace ((1 + u) * (1 + u) ^ n * (1 - (INR n + 1) * u)) with ((1 + u) ^ n * ((1 + u) * (1 - (INR n + 1) * u))) by ring.
  apply Rmult_le_compat_l; [lra |]. nra.
Qed.

(* A sum of the numbers in l, in any order, fused or not: finite, and off by gamma of their sizes and by underflow. *)
Theorem any_order t l : finite t = true -> Permutation (terms t) l ->
  reach (length l) (2 * length l) (sizes l) < huge ->
  is_finite (eval t) = true /\ Rabs (value_of (eval t) - total l) <= off_by (length l) (2 * length l) (sizes l).
Proof.
  intros F P H. rewrite <- (total_perm _ _ P). rewrite <- (sizes_perm _ _ P), <- (Permutation_length P) in *.
  destruct (depth_length t) as (_ & D & O). assert (S := sizes_pos (terms t)).
  destruct (eval_ok t F) as [V E]. { eapply Rle_lt_trans; [| exact H]. apply reach_grows; lia || lra. }
  split; auto. eapply Rle_trans; [exact E |]. apply off_grows; lia || lra.
Qed.

(* The same bound with any allowance k for underflow. *)
Definition off (n : nat) (k s : R) : R := (1 + u) ^ n * (s + k * w) - s.

Lemma off_by_off n k s : off_by n k s = off n (INR k) s.
Proof. unfold off_by, off. ring. Qed.

Lemma off_mono n k s n' k' s' : (n <= n')%nat -> 0 <= k <= k' -> 0 <= s <= s' -> off n k s <= off n' k' s'.
Proof.
  intros Hn Hk Hs. unfold off. destruct (grow n n' Hn) as [A B]. assert (W := w_pos).
  replace ((1 + u) ^ n * (s + k * w) - s) with (((1 + u) ^ n - 1) * s + (1 + u) ^ n * (k * w)) by ring.
  replace ((1 + u) ^ n' * (s' + k' * w) - s') with (((1 + u) ^ n' - 1) * s' + (1 + u) ^ n' * (k' * w)) by ring.
  assert (0 <= k * w <= k' * w) by nra. apply Rplus_le_compat; apply Rmult_le_compat; lra.
Qed.

(* The bound as a quotient that a computation in rational numbers can check. *)
Lemma off_quotient n k s e : INR n * u < 1 -> 0 <= k -> 0 <= s -> INR n * u * s + k * w <= e * (1 - INR n * u) -> off n k s <= e.
Proof.
  intros H Hk Hs He. assert (G := small_powers n H). assert (P : 0 < 1 - INR n * u) by lra. assert (W := w_pos). unfold off.
  apply Rmult_le_reg_r with (1 - INR n * u); auto. assert (0 <= k * w) by nra.
  apply Rle_trans with (s + k * w - s * (1 - INR n * u)); [| lra].
  replace (((1 + u) ^ n * (s + k * w) - s) * (1 - INR n * u)) with ((1 + u) ^ n * (1 - INR n * u) * (s + k * w) - s * (1 - INR n * u)) by ring. nra.
Qed.
