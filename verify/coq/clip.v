(* Projection of a weight, and clearing of a slot, in binary64: sums of three numbers one of which is 0, so that only one
   addition rounds. *)
From Coq Require Import Reals List Lra Lia Psatz Permutation ZArith Bool.
From Flocq Require Import Core BinarySingleNaN.
From ICGD Require Import vectors machine rounding.
Import ListNotations.
Open Scope R_scope.

(* A real number that some float has as its value. *)
Definition exact (x : R) : Prop := generic_format radix2 (SpecFloat.fexp 53 1024) x /\ Rabs x < huge.

Lemma exact_value x : exact (value_of x).
Proof. split; [apply generic_format_B2R | apply (abs_B2R_lt_emax 53 1024)]. Qed.

Lemma exact_opp x : exact x -> exact (- x).
Proof. intros [F B]. split; [now apply generic_format_opp | now rewrite Rabs_Ropp]. Qed.

Lemma round_exact x : exact x -> round64 x = x.
Proof. intros [F _]. apply round_generic; [apply valid_rnd_N | exact F]. Qed.

Lemma exact_round x : Rabs (round64 x) < huge -> exact (round64 x).
Proof. intros H. split; [apply generic_format_round; [apply fexp_correct; reflexivity | apply valid_rnd_N] | exact H]. Qed.

Lemma round64_0 : round64 0 = 0.
Proof. apply round_0, valid_rnd_N. Qed.

Lemma round64_le x y : x <= y -> round64 x <= round64 y.
Proof. apply round_le; [apply fexp_correct; reflexivity | apply valid_rnd_N]. Qed.

Lemma round64_opp x : round64 (- x) = - round64 x.
Proof. apply round_NE_opp. Qed.

Lemma plus_exact x y : is_finite x = true -> is_finite y = true -> Rabs (round64 (value_of x + value_of y)) < huge ->
  is_finite (Bplus mode_NE x y) = true /\ value_of (Bplus mode_NE x y) = round64 (value_of x + value_of y).
Proof.
  intros Fx Fy H. generalize (Bplus_correct 53 1024 _ _ mode_NE x y Fx Fy).
  change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (B2R x + B2R y)) with (round64 (value_of x + value_of y)).
  rewrite (below_huge _ H). intros (V & F & _). now split.
Qed.

Lemma fma_exact x y t : is_finite x = true -> is_finite y = true -> is_finite t = true ->
  Rabs (round64 (value_of x * value_of y + value_of t)) < huge ->
  is_finite (Bfma mode_NE x y t) = true /\ value_of (Bfma mode_NE x y t) = round64 (value_of x * value_of y + value_of t).
Proof.
  intros Fx Fy Ft H. generalize (Bfma_correct 53 1024 _ _ mode_NE x y t Fx Fy Ft). cbv zeta.
  change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (B2R x * B2R y + B2R t)) with (round64 (value_of x * value_of y + value_of t)).
  rewrite (below_huge _ H). intros (V & F & _). now split.
Qed.

(** Trees of at most three terms, each of which is exact. *)

Ltac split_finite := repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H; destruct H end.
Ltac impossible := exfalso; match goal with
  | H : terms ?s ++ terms ?t = _ |- _ => apply (f_equal (@length R)) in H; rewrite app_length in H; cbn [length] in H;
      generalize (proj1 (depth_length s)) (proj1 (depth_length t)); lia
  | H : _ :: terms ?t = _ |- _ => apply (f_equal (@length R)) in H; cbn [length] in H; generalize (proj1 (depth_length t)); lia
  end.

Lemma one_term t a : terms t = [a] -> finite t = true -> exact a -> is_finite (eval t) = true /\ value_of (eval t) = a.
Proof.
  destruct t as [x | x y | s t | x y t]; cbn [terms finite eval]; intros H F Ea; try impossible; injection H as H.
  - now split.
  - split_finite. generalize (Bmult_correct 53 1024 _ _ mode_NE x y).
    change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (B2R x * B2R y)) with (round64 (value_of x * value_of y)).
    rewrite H, (round_exact a Ea), (below_huge a (proj2 Ea)). intros (V & Fin & _). split; [rewrite Fin; now apply andb_true_intro | exact V].
Qed.

Lemma two_terms t a b : terms t = [a; b] -> finite t = true -> exact a -> exact b -> Rabs (round64 (a + b)) < huge ->
  is_finite (eval t) = true /\ value_of (eval t) = round64 (a + b).
Proof.
  destruct t as [x | x y | s t | x y t]; cbn [terms finite eval]; intros H F Ea Eb Hb; try discriminate; split_finite.
  - destruct (terms s) as [| a' [| b' l]] eqn:Es.
    + generalize (proj1 (depth_length s)). rewrite Es. simpl. lia.
    + cbn [app] in H. injection H as -> Et. destruct (one_term s a Es) as [Fs Vs]; auto. destruct (one_term t b Et) as [Ft Vt]; auto.
      rewrite <- Vs, <- Vt in *. now apply plus_exact.
    + cbn [app] in H. injection H as _ _ Hl. destruct l; [| discriminate]. cbn [app] in Hl.
      generalize (proj1 (depth_length t)). rewrite Hl. simpl. lia.
  - injection H as Ha Et. destruct (one_term t b Et) as [Ft Vt]; auto. rewrite <- Ha, <- Vt in *. now apply fma_exact.
Qed.

(* Three terms of which one is 0: whatever the arrangement, the sum of the other two is rounded once. *)
Lemma three_terms t a b c : terms t = [a; b; c] -> finite t = true -> exact a -> exact b -> exact c -> a = 0 \/ b = 0 \/ c = 0 ->
  Rabs (round64 (a + b + c)) < huge -> is_finite (eval t) = true /\ value_of (eval t) = round64 (a + b + c).
Proof.
  assert (Left : forall a b c, exact a -> exact b -> exact c -> a = 0 \/ b = 0 \/ c = 0 -> Rabs (round64 (a + b + c)) < huge ->
    Rabs (round64 (b + c)) < huge /\ round64 (a + round64 (b + c)) = round64 (a + b + c)).
  { clear. intros a b c Ea Eb Ec [-> | [-> | ->]] H; rewrite ?Rplus_0_l, ?Rplus_0_r in *.
    - split; auto. apply round_exact. now apply exact_round.
    - rewrite (round_exact c Ec). split; [apply Ec | reflexivity].
    - rewrite (round_exact b Eb). split; [apply Eb | reflexivity]. }
  destruct t as [x | x y | s t | x y t]; cbn [terms finite eval]; intros H F Ea Eb Ec Z Hb; try discriminate; split_finite.
  - destruct (terms s) as [| a' [| b' [| c' l]]] eqn:Es.
    + generalize (proj1 (depth_length s)). rewrite Es. simpl. lia.
    + cbn [app] in H. injection H as -> Et. destruct (Left a b c Ea Eb Ec Z Hb) as [Hr E].
      destruct (one_term s a Es) as [Fs Vs]; auto. destruct (two_terms t b c Et) as [Ft Vt]; auto.
      rewrite <- E in *. rewrite <- Vs, <- Vt in *. now apply plus_exact.
    + cbn [app] in H. injection H as -> -> Et. assert (Z' : c = 0 \/ a = 0 \/ b = 0) by tauto.
      assert (Sw : c + a + b = a + b + c) by ring. destruct (Left c a b Ec Ea Eb Z') as [Hr E]. { now rewrite Sw. }
      destruct (two_terms s a b Es) as [Fs Vs]; auto. destruct (one_term t c Et) as [Ft Vt]; auto.
      rewrite Sw, Rplus_comm in E. rewrite <- E in *. rewrite <- Vs, <- Vt in *. now apply plus_exact.
    + cbn [app] in H. injection H as _ _ _ Hl. destruct l; [| discriminate]. cbn [app] in Hl.
      generalize (proj1 (depth_length t)). rewrite Hl. simpl. lia.
  - injection H as Ha Et. destruct (Left a b c Ea Eb Ec Z Hb) as [Hr E]. destruct (two_terms t b c Et) as [Ft Vt]; auto.
    rewrite <- E in *. rewrite <- Ha, <- Vt in *. now apply fma_exact.
Qed.

Lemma sums_one (given : Prop) t a : given -> sums given t [a] -> exact a -> is_finite (eval t) = true /\ value_of (eval t) = a.
Proof. intros G (F & P) Ea. apply one_term; auto. now apply Permutation_length_1_inv, Permutation_sym. Qed.

Lemma sums_two (given : Prop) t a b : given -> sums given t [a; b] -> exact a -> exact b -> Rabs (round64 (a + b)) < huge ->
  is_finite (eval t) = true /\ value_of (eval t) = round64 (a + b).
Proof.
  intros G (F & P) Ea Eb H. destruct (Permutation_length_2_inv (Permutation_sym P)) as [E | E].
  - now apply two_terms; auto.
  - rewrite Rplus_comm in *. now apply two_terms; auto.
Qed.

Lemma sums_three (given : Prop) t a b c : given -> sums given t [a; b; c] -> exact a -> exact b -> exact c -> In 0 [a; b; c] ->
  Rabs (round64 (a + b + c)) < huge -> is_finite (eval t) = true /\ value_of (eval t) = round64 (a + b + c).
Proof.
  intros G (F & P) Ea Eb Ec Z H. assert (T : total (terms t) = a + b + c) by (rewrite (total_perm _ _ P); cbn [total]; ring).
  assert (All : Forall exact (terms t)). { apply (Permutation_Forall (Permutation_sym P)). auto. }
  assert (Z' : In 0 (terms t)) by now apply (Permutation_in _ (Permutation_sym P)).
  assert (Len := Permutation_length P). destruct (terms t) as [| x [| y [| z [| ? ?]]]] eqn:E; try discriminate Len.
  cbn [total] in T. replace (x + (y + (z + 0))) with (x + y + z) in T by ring. rewrite <- T in *.
  inversion All as [| ? ? Ex All1]; subst. inversion All1 as [| ? ? Ey All2]; subst. inversion All2 as [| ? ? Ez All3]; subst.
  apply three_terms; auto. cbn [In] in Z'. intuition congruence.
Qed.

(** The projection onto |v| <= face: v - relu(v - face) + relu(-v - face). *)
Definition clipped (face : R) (v y : float) : Prop :=
  exists (bias over under : float) (above below all : tree),
  value_of bias = - face /\ sums (is_finite v = true) above [value_of v; value_of bias] /\ relu_of (eval above) over /\
  sums (is_finite v = true) below [- value_of v; value_of bias] /\ relu_of (eval below) under /\
  sums (is_finite v = true /\ is_finite over = true /\ is_finite under = true) all [value_of v; - value_of over; value_of under] /\ y = eval all.

(* The side above 0, on real numbers. *)
Lemma clip_side face x far : exact x -> 0 <= face <= far -> 0 <= x <= far -> 4 * (far + w) < huge ->
  let over := Rmax 0 (round64 (x - face)) in
  Rabs (round64 (x - face)) < huge /\ Rabs (round64 (x - over)) < huge /\
  round64 (- x - face) <= 0 /\ Rabs (round64 (- x - face)) < huge /\
  Rabs (round64 (x - over) - clip_to face x) <= off 2 3 far.
Proof.
  intros Ex Hf Hx Hbig over. assert (U := u_pos). assert (W := w_pos). assert (U1 : u <= / 4).
  { unfold u. change (-53 + 1)%Z with (-52)%Z. replace (/ 4) with (/ 2 * bpow radix2 (-1)) by (simpl; lra). apply Rmult_le_compat_l; [lra |]. apply bpow_le. lia. }
  assert (Round : forall y r, Rabs y <= r -> Rabs (round64 y - y) <= u * r + w /\ Rabs (round64 y) <= (1 + u) * r + w).
  { intros y r Hy. destruct (rounding_step y y 0 r) as [E S]; [rewrite Rminus_diag_eq, Rabs_R0; lra | exact Hy | lra |]. split; lra. }
  assert (Off : u * far + u * far + 3 * w <= off 2 3 far).
  { unfold off. replace ((1 + u) ^ 2 * (far + 3 * w) - far) with (2 * u * far + 3 * w + (u * u * far + (2 * u + u * u) * (3 * w))) by (simpl; ring).
    assert (0 <= u * u * far) by (apply Rmult_le_pos; nra). assert (0 <= (2 * u + u * u) * (3 * w)) by nra. lra. }
  assert (Uf : 0 <= u * far <= far / 4) by nra. assert (Uw : 0 <= u * w <= w / 4) by nra.
  destruct (Round (- x - face) (2 * far)) as [_ S2]; [apply Rabs_le; lra |].
  assert (N2 : round64 (- x - face) <= 0) by (rewrite <- round64_0; apply round64_le; lra).
  destruct (Rle_dec x face) as [In | Out].
  - assert (N1 : round64 (x - face) <= 0) by (rewrite <- round64_0; apply round64_le; lra).
    destruct (Round (x - face) far) as [_ S1]; [apply Rabs_le; lra |].
    assert (Z : over = 0) by (unfold over; now apply Rmax_left). rewrite Z, Rminus_0_r, (round_exact x Ex).
    replace (clip_to face x) with x by (unfold clip_to; rewrite Rmin_right, Rmax_right; lra).
    rewrite (Rminus_diag_eq x x), Rabs_R0 by reflexivity. rewrite (Rabs_pos_eq x) by lra. repeat split; lra.
  - destruct (Round (x - face) (x - face)) as [E1 S1]; [rewrite Rabs_pos_eq; lra |].
    assert (P1 : 0 <= round64 (x - face)) by (rewrite <- round64_0; apply round64_le; lra).
    assert (Z : over = round64 (x - face)) by (unfold over; now apply Rmax_right). rewrite Z.
    assert (Up : u * (x - face) <= u * (far - face)) by (apply Rmult_le_compat_l; lra). assert (Uface : 0 <= u * face <= face / 4) by nra.
    set (o := round64 (x - face)) in *. assert (D : Rabs (x - o - face) <= u * (far - face) + w).
    { replace (x - o - face) with (- (o - (x - face))) by ring. rewrite Rabs_Ropp. lra. }
    assert (R : Rabs (x - o) <= far + w).
    { replace (x - o) with ((x - o - face) + face) by ring. eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq face) by lra.
      assert (u * (far - face) <= far - face) by nra. lra. }
    destruct (Round (x - o) (far + w) R) as [E2 S3].
    replace (clip_to face x) with face by (unfold clip_to; rewrite Rmin_left, Rmax_right; lra).
    repeat split; try lra. replace (round64 (x - o) - face) with ((round64 (x - o) - (x - o)) + (x - o - face)) by ring.
    eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Theorem clip_ok face v y far : clipped face v y -> is_finite v = true -> 0 <= face <= far -> Rabs (value_of v) <= far -> 4 * (far + w) < huge ->
  is_finite y = true /\ Rabs (value_of y - clip_to face (value_of v)) <= off 2 3 far.
Proof.
  intros (bias & over & under & above & below & all & Hb & Ha & Ho & Hl & Hu & Hall & ->) Fv Hf Hv Hbig.
  assert (Ev := exact_value v). assert (Eb := exact_value bias). assert (En := exact_opp _ Ev). set (x := value_of v) in *.
  assert (Sides : Rabs (round64 (x - face)) < huge /\ Rabs (round64 (- x - face)) < huge /\
    let o := Rmax 0 (round64 (x - face)) in let n := Rmax 0 (round64 (- x - face)) in (o = 0 \/ n = 0) /\
    Rabs (round64 (x + - o + n)) < huge /\ Rabs (round64 (x + - o + n) - clip_to face x) <= off 2 3 far).
  { destruct (Rle_dec 0 x) as [P | N].
    - rewrite Rabs_pos_eq in Hv by exact P. destruct (clip_side face x far Ev Hf (conj P Hv) Hbig) as (A & B & C & D & E). cbv zeta in *.
      split; [exact A |]. split; [exact D |]. rewrite (Rmax_left 0 _ C). split; [now right |].
      replace (x + - Rmax 0 (round64 (x - face)) + 0) with (x - Rmax 0 (round64 (x - face))) by ring. now split.
    - rewrite Rabs_left in Hv by lra. destruct (clip_side face (- x) far En Hf ltac:(lra) Hbig) as (A & B & C & D & E). cbv zeta in *.
      rewrite Ropp_involutive in C, D. split; [exact D |]. split; [exact A |]. rewrite (Rmax_left 0 _ C). split; [now left |].
      replace (x + - 0 + Rmax 0 (round64 (- x - face))) with (- (- x - Rmax 0 (round64 (- x - face)))) by ring.
      rewrite round64_opp, Rabs_Ropp. split; [exact B |].
      replace (clip_to face x) with (- clip_to face (- x)).
      + rewrite <- Rabs_Ropp. eapply Rle_trans; [| exact E]. right. f_equal. ring.
      + unfold clip_to, Rmax, Rmin. repeat destruct (Rle_dec _ _); lra. }
  cbv zeta in Sides. destruct Sides as (B1 & B2 & Z & B3 & E). unfold Rminus in B1, B2. rewrite <- Hb in B1, B2.
  destruct (sums_two _ above x (value_of bias) Fv Ha Ev Eb B1) as [Fa Va]. destruct (sums_two _ below (- x) (value_of bias) Fv Hl En Eb B2) as [Fl Vl].
  destruct (Ho Fa) as [Fo Vo]. destruct (Hu Fl) as [Fu Vu]. rewrite Va, Hb in Vo. rewrite Vl, Hb in Vu.
  unfold Rminus in Z, B3, E. rewrite <- Vo, <- Vu in *.
  destruct (sums_three _ all x (- value_of over) (value_of under) (conj Fv (conj Fo Fu)) Hall Ev (exact_opp _ (exact_value over)) (exact_value under)) as [F V]; auto.
  - cbn [In]. destruct Z as [Z | Z]; [right; left; rewrite Z; ring | right; right; left; exact Z].
  - rewrite V. now split.
Qed.

(** Clearing: x - relu(x) + relu(-x). *)
Definition cleared (x y : float) : Prop :=
  exists (over under : float) (above below all : tree),
  sums (is_finite x = true) above [value_of x] /\ relu_of (eval above) over /\
  sums (is_finite x = true) below [- value_of x] /\ relu_of (eval below) under /\
  sums (is_finite x = true /\ is_finite over = true /\ is_finite under = true) all [value_of x; - value_of over; value_of under] /\ y = eval all.

Theorem clear_ok x y : cleared x y -> is_finite x = true -> is_finite y = true /\ value_of y = 0.
Proof.
  intros (over & under & above & below & all & Ha & Ho & Hl & Hu & Hall & ->) Fx.
  assert (Ex := exact_value x). assert (En := exact_opp _ Ex).
  destruct (sums_one _ above _ Fx Ha Ex) as [Fa Va]. destruct (sums_one _ below _ Fx Hl En) as [Fl Vl].
  destruct (Ho Fa) as [Fo Vo]. destruct (Hu Fl) as [Fu Vu]. rewrite Va in Vo. rewrite Vl in Vu. 
  assert (S : value_of x + - value_of over + value_of under = 0 /\ (value_of over = 0 \/ value_of under = 0)).
  { rewrite Vo, Vu. unfold Rmax. repeat destruct (Rle_dec _ _); lra. }
  destruct S as [S Z].
  destruct (sums_three _ all _ _ _ (conj Fx (conj Fo Fu)) Hall Ex (exact_opp _ (exact_value over)) (exact_value under)) as [F V].
  - cbn [In]. destruct Z as [-> | ->]; [right; left; ring | tauto].
  - rewrite S, round64_0, Rabs_R0. apply bpow_gt_0.
  - rewrite S, round64_0 in V. now split.
Qed.
