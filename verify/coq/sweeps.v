(* A sum of ReLUs near a function: one pass over its kinks, from left to right. *)
From Coq Require Import Reals QArith Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors sums formulas tight enclose tables fits.
Import ListNotations.
Open Scope R_scope.

Module Sweeps (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Fi := Fits F.
Export Fi.

Section Sweeps.
Variable prec : F.precision.
Variables (k m : positive).   (* kinks are multiples of 1 / k, weights of 1 / m *)

(* Units c relu(+-t + b), as whether the sign is +, b k, c m. *)
Definition coded : Type := bool * Z * Z.
Definition unit_of (u : coded) : Q * Q * Q := let '(s, b, c) := u in ((if s then 1 else -1)%Q, b # k, c # m)%Q.

(* relu(-t + b) = relu(t - b) + b - t: every unit becomes c relu(t - x), and a line remains. *)
Definition kink (u : coded) : Z * Z := let '(s, b, c) := u in (if s then - b else b, c)%Z.
Fixpoint start (us : list coded) (s i : Z) : Z * Z :=
  match us with
  | [] => (s, i) | (true, _, _) :: us => start us s i | (false, b, c) :: us => start us (s - c) (i + c * b)
  end.

Fixpoint sorted (x : Z) (ks : list (Z * Z)) : bool := match ks with [] => true | (y, _) :: ks => (x <=? y)%Z && sorted y ks end.

Definition PK : R := IZR (Zpos k).
Definition PM : R := IZR (Zpos m).
Definition line (s i : Z) (t : R) : R := IZR s / PM * t + IZR i / (PM * PK).
Fixpoint ramps (ks : list (Z * Z)) (t : R) : R :=
  match ks with [] => 0 | (x, c) :: ks => IZR c / PM * Rmax 0 (t - IZR x / PK) + ramps ks t end.

Lemma PK_pos : 0 < PK.
Proof. now apply IZR_lt. Qed.
Lemma PM_pos : 0 < PM.
Proof. now apply IZR_lt. Qed.

Lemma Q2R_over z q : Q2R (z # q) = IZR z / IZR (Zpos q).
Proof. reflexivity. Qed.

Lemma start_ok us t : forall s i s' i' constant, start us s i = (s', i') ->
  relu_sum constant (map unit_of us) t + line s i t = Q2R constant + line s' i' t + ramps (map kink us) t.
Proof.
  assert (K := PK_pos). assert (M := PM_pos).
  induction us as [| [[[] b] c] us IH]; intros s i s' i' constant H; cbn [start] in H.
  - injection H as <- <-. cbn. ring.
  - cbn [map unit_of kink ramps]. change (relu_sum constant ((1%Q, (b # k)%Q, (c # m)%Q) :: map unit_of us) t) with
      (Q2R (c # m) * Rmax 0 (Q2R 1 * t + Q2R (b # k)) + relu_sum constant (map unit_of us) t).
    assert (E := IH _ _ _ _ constant H). rewrite (Q2R_over b), (Q2R_over c). fold PK PM. replace (Q2R 1 * t + IZR b / PK) with (t - IZR (- b) / PK). lra.
    rewrite opp_IZR. replace (Q2R 1) with 1 by (unfold Q2R; simpl; lra). field. lra.
  - cbn [map unit_of kink ramps]. change (relu_sum constant (((-1)%Q, (b # k)%Q, (c # m)%Q) :: map unit_of us) t) with
      (Q2R (c # m) * Rmax 0 (Q2R (-1) * t + Q2R (b # k)) + relu_sum constant (map unit_of us) t).
    assert (E := IH _ _ _ _ constant H). rewrite (Q2R_over b), (Q2R_over c). fold PK PM. replace (Q2R (-1)) with (-1) by (unfold Q2R; simpl; lra).
    unfold line in *. rewrite minus_IZR, plus_IZR, mult_IZR in E.
    replace (IZR c / PM * Rmax 0 (-1 * t + IZR b / PK)) with (IZR c / PM * Rmax 0 (t - IZR b / PK) + IZR c / PM * (IZR b / PK - t)).
    + replace ((IZR s - IZR c) / PM * t + (IZR i + IZR c * IZR b) / (PM * PK)) with
        (IZR s / PM * t + IZR i / (PM * PK) + IZR c / PM * (IZR b / PK - t)) in E by (field; lra). lra.
    + unfold Rmax. destruct (Rle_dec 0 (t - IZR b / PK)), (Rle_dec 0 (-1 * t + IZR b / PK)); try lra.
      all: replace (IZR b / PK) with t by lra; ring.
Qed.

Lemma ramps_zero ks t : forall x, sorted x ks = true -> t <= IZR x / PK -> ramps ks t = 0.
Proof.
  assert (K := PK_pos). induction ks as [| [y c] ks IH]; intros x H Ht; cbn [sorted ramps] in *; [reflexivity |].
  apply andb_true_iff in H. destruct H as [H1 H2]. apply Z.leb_le, IZR_le in H1.
  assert (t <= IZR y / PK). { eapply Rle_trans; [exact Ht |]. apply Rmult_le_compat_r; auto. left. now apply Rinv_0_lt_compat. }
  rewrite (IH y H2 H), Rmax_left by lra. ring.
Qed.

Variable e : formula.
Variable d : nat.       (* the sum is near derivative d *)
Hypothesis Hd : (d < 2)%nat.
Variables (err : F.type) (E : R).
Hypothesis Ee : F.toX err = Xreal E.
Variable fuel : nat.

Definition over (z : Z) (q : positive) : I.type := ratio prec z (Zpos q).
Lemma over_ok z q : has (over z q) (IZR z / IZR (Zpos q)).
Proof. now apply has_ratio. Qed.

Definition piece (lo hi s i : Z) : bool := near_line prec e d fuel (over s m) (over i (m * k)) err (low (over lo k)) (I.upper (over hi k)).

Lemma piece_ok lo hi s i t : piece lo hi s i = true -> IZR lo / PK <= t <= IZR hi / PK -> Rabs (line s i t - derivative d e t) <= E.
Proof.
  intros H Ht. unfold piece in H.
  assert (R : F.real (low (over lo k)) = true /\ F.real (I.upper (over hi k)) = true).
  { destruct fuel; cbn [near_line] in H; [discriminate |]. unfold middle in H.
    destruct (F.real (low (over lo k))); [| discriminate]. destruct (F.real (I.upper (over hi k))); [auto | discriminate]. }
  destruct R as [R1 R2]. destruct (classify_toX _ (real_classify _ R1)) as [a Ea]. destruct (classify_toX _ (real_classify _ R2)) as [b Eb].
  unfold line. replace (PM * PK) with (IZR (Zpos (m * k))) by (now rewrite Pos2Z.inj_mul, mult_IZR).
  apply (near_line_ok prec e d Hd _ _ _ _ err E Ee (over_ok s m) (over_ok i (m * k)) fuel _ _ a b H Ea Eb). split.
  - destruct (Lo_low _ _ (over_ok lo k)) as [_ L]. unfold le_lower in L. rewrite Ea in L. simpl in L. unfold PK in Ht. lra.
  - assert (B := U_real _ _ _ Eb (U_upper _ _ (over_ok hi k))). unfold PK in Ht. lra.
Qed.

Fixpoint sweep (ks : list (Z * Z)) (lo hi s i : Z) : bool :=
  match ks with
  | [] => piece lo hi s i
  | (x, c) :: ks =>
      if (x <=? lo)%Z then sweep ks lo hi (s + c) (i - c * x)
      else if (hi <=? x)%Z then piece lo hi s i
      else if piece lo x s i then sweep ks x hi (s + c) (i - c * x) else false
  end.

Lemma scaled_le a b : (a <= b)%Z -> IZR a / PK <= IZR b / PK.
Proof. intros H. apply Rmult_le_compat_r. left. apply Rinv_0_lt_compat, PK_pos. now apply IZR_le. Qed.

Lemma line_step s i x c t : IZR x / PK <= t -> line (s + c) (i - c * x) t = line s i t + IZR c / PM * Rmax 0 (t - IZR x / PK).
Proof.
  intros Ht. assert (K := PK_pos). assert (M := PM_pos). rewrite Rmax_right by lra. unfold line.
  rewrite plus_IZR, minus_IZR, mult_IZR. field. lra.
Qed.

Lemma sweep_ok ks : forall lo hi s i y, sweep ks lo hi s i = true -> sorted y ks = true -> forall t, IZR lo / PK <= t <= IZR hi / PK ->
  Rabs (line s i t + ramps ks t - derivative d e t) <= E.
Proof.
  induction ks as [| [x c] ks IH]; intros lo hi s i y H Hs t Ht; cbn [sweep ramps sorted] in *.
  - rewrite Rplus_0_r. now apply piece_ok with lo hi.
  - apply andb_true_iff in Hs. destruct Hs as [_ Hs].
    replace (line s i t + (IZR c / PM * Rmax 0 (t - IZR x / PK) + ramps ks t) - derivative d e t) with
      (line s i t + IZR c / PM * Rmax 0 (t - IZR x / PK) + ramps ks t - derivative d e t) by ring.
    destruct (Z.leb_spec x lo) as [L | L].
    + assert (X := scaled_le _ _ L). rewrite <- line_step by lra. now apply (IH lo hi _ _ x).
    + assert (Z0 : t <= IZR x / PK -> line s i t + IZR c / PM * Rmax 0 (t - IZR x / PK) + ramps ks t = line s i t).
      { intros Hx. rewrite (ramps_zero ks t x Hs Hx), Rmax_left by lra. ring. }
      destruct (Z.leb_spec hi x) as [L' | L'].
      * assert (X := scaled_le _ _ L'). rewrite Z0 by lra. now apply piece_ok with lo hi.
      * destruct (piece lo x s i) eqn:P; [| discriminate]. destruct (Rle_dec t (IZR x / PK)) as [T | T].
        -- rewrite Z0 by lra. apply piece_ok with lo x; auto. lra.
        -- rewrite <- line_step by lra. apply (IH x hi _ _ x H Hs). lra.
Qed.

(* The whole: constant over m, reach over k. *)
Definition fits (constant : Z) (units : list coded) (reach : positive) : bool :=
  let ks := map kink units in
  let '(s, i) := start units 0 (constant * Zpos k) in
  match ks with [] => true | (x, _) :: _ => sorted x ks end && sweep ks (Zneg reach) (Zpos reach) s i.

Lemma fits_ok constant units reach : fits constant units reach = true ->
  close (relu_sum (constant # m) (map unit_of units)) (derivative d e) (Q2R (Zpos reach # k)) E.
Proof.
  intros H t Ht. unfold fits in H. destruct (start units 0 (constant * Zpos k)) as [s i] eqn:Es.
  apply andb_true_iff in H. destruct H as [Hs Hw].
  assert (K := start_ok units t _ _ _ _ (0 # 1)%Q Es). assert (K0 := PK_pos). assert (M0 := PM_pos).
  assert (C : forall l, relu_sum (constant # m) l t = relu_sum (0 # 1) l t + IZR constant / PM).
  { induction l as [| [[a b] c] l IH]; unfold relu_sum in *; simpl. rewrite Q2R_over. unfold Q2R, PM; simpl. lra. rewrite IH. ring. }
  rewrite C. replace (line 0 (constant * Zpos k) t) with (IZR constant / PM) in K.
  2: { unfold line. rewrite mult_IZR. fold PK. field. lra. }
  rewrite K. replace (Q2R (0 # 1)) with 0 by (unfold Q2R; simpl; lra). rewrite Rplus_0_l.
  apply Rabs_le_inv in Ht. rewrite Q2R_over in Ht. fold PK in Ht.
  assert (R : IZR (Zneg reach) / PK <= t <= IZR (Zpos reach) / PK).
  { replace (IZR (Zneg reach)) with (- IZR (Zpos reach)) by reflexivity. unfold Rdiv in *. lra. }
  destruct (map kink units) as [| [x c] ks] eqn:Ek.
  - now apply sweep_ok with (Zneg reach) (Zpos reach) 0%Z.
  - now apply sweep_ok with (Zneg reach) (Zpos reach) x.
Qed.

End Sweeps.
End Sweeps.
