(* The table of a layer: bounds on r and its derivatives for |z| up to an edge, computed on small boxes. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors calculus formulas tight enclose.
Import ListNotations.
Open Scope R_scope.

(* What a height bounds: phi - m r^2 (less) or phi + m r^2, for phi = |r'|, r'^2 or r''^2, or, for every y, for
   phi = (a + b y)^2 - u y^2, where a + b y is s = r' (r + y) (Signal) or its slope (Drift). *)
Inductive quantity := Slope1 | Slope2 | Bend2 | Signal | Drift.

Module Tables (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import En := Enclose F.
Export En.

Section Tables.
Variable prec : F.precision.
Variable e : formula.

Definition size_of (k : quantity) (u t y : R) : R :=
  match k with
  | Slope1 => Rabs (first e t) | Slope2 => first e t ^ 2 | Bend2 => second e t ^ 2
  | Signal => (value e t * first e t + first e t * y) ^ 2 - u * y ^ 2
  | Drift => (first e t * first e t + value e t * second e t + second e t * y) ^ 2 - u * y ^ 2
  end.

(* The quantity, whether the line is below phi, and the multipliers m and u. *)
Definition multiplier : Type := quantity * bool * F.type * F.type.
Variable lams : list multiplier.

Definition umax (f g : F.type) : F.type := if leb f g then g else if leb g f then f else F.nan.
Definition lmin (f g : F.type) : F.type := if leb f g then f else if leb g f then g else zero.

Lemma umax_l x f g : U x f -> U x (umax f g).
Proof. intros H. unfold umax. destruct (leb f g) eqn:E. now apply leb_U with f. destruct (leb g f); auto. apply U_nan. Qed.
Lemma umax_r x f g : U x g -> U x (umax f g).
Proof. intros H. unfold umax. destruct (leb f g) eqn:E; auto. destruct (leb g f) eqn:E'. now apply leb_U with g. apply U_nan. Qed.
Lemma lmin_l x f g : 0 <= x -> Lo x f -> Lo x (lmin f g).
Proof. intros P H. unfold lmin. destruct (leb f g) eqn:E; auto. destruct (leb g f) eqn:E'. now apply leb_Lo with f. now apply Lo_zero. Qed.
Lemma lmin_r x f g : 0 <= x -> Lo x g -> Lo x (lmin f g).
Proof. intros P H. unfold lmin. destruct (leb f g) eqn:E. now apply leb_Lo with g. destruct (leb g f); auto. now apply Lo_zero. Qed.

(** The function itself near the middle m of a box: X(m) + X' (t - m). *)
Definition near_middle (middle slope dx : I.type) : I.type := I.add prec middle (I.mul prec slope dx).

Lemma near_middle_ok (X X1 : R -> R) a b m t middle slope dx :
  (forall c, a <= c <= b -> is_derive X c (X1 c) /\ has slope (X1 c)) -> a <= m <= b -> a <= t <= b ->
  has middle (X m) -> has dx (t - m) -> has (near_middle middle slope dx) (X t).
Proof.
  intros H Hm Ht Hx Hd. destruct (mvt_any X X1 a b (fun c Hc => proj1 (H c Hc)) m t Hm Ht) as (c & Hc & E).
  replace (X t) with (X m + X1 c * (t - m)) by lra. apply has_add; auto. apply has_mul; auto. now apply H.
Qed.

(* For every y, (a + b y)^2 - u y^2 is at most X = u a^2 / (u - b^2): X in the middle, and its slope on the box. *)
Definition freed (u ma mb a b a1 b1 : I.type) : list (I.type * I.type) :=
  let mw := I.sub prec u (I.sqr prec mb) in let w := I.sub prec u (I.sqr prec b) in
  if above_zero mw && above_zero w then
    let i := I.inv prec w in
    [(I.div prec (I.mul prec u (I.sqr prec ma)) mw,
      twice prec (I.mul prec (I.mul prec (I.mul prec u a) i) (I.add prec a1 (I.mul prec (I.mul prec a i) (I.mul prec b b1)))))]
  else [].

(* The slope of r r', and that of this slope. *)
Definition once (x0 x1 x2 : I.type) : I.type := I.add prec (I.mul prec x1 x1) (I.mul prec x0 x2).
Definition again (x0 x1 x2 x3 : I.type) : I.type := I.add prec (I.mul prec (int prec 3) (I.mul prec x1 x2)) (I.mul prec x0 x3).

(* The parts of X = phi: its value in the middle and its slope on the box; |r'| has two. *)
Definition parts (k : quantity) (u m0 m1 m2 b0 b1 b2 b3 : I.type) : list (I.type * I.type) :=
  match k with
  | Slope1 => [(m1, b2); (I.neg m1, I.neg b2)]
  | Slope2 => [(I.sqr prec m1, twice prec (I.mul prec b1 b2))]
  | Bend2 => [(I.sqr prec m2, twice prec (I.mul prec b2 b3))]
  | Signal => freed u (I.mul prec m0 m1) m1 (I.mul prec b0 b1) b1 (once b0 b1 b2) b2
  | Drift => freed u (once m0 m1 m2) m2 (once b0 b1 b2) b2 (again b0 b1 b2 b3) b3
  end.

(* The height of a line on a box; square, rise: r^2 in the middle, and its slope. *)
Definition height (square rise dx : I.type) (lam : bool * F.type) (xs : list (I.type * I.type)) : F.type :=
  let q := point (snd lam) in
  let away := if fst lam then I.sub prec else I.add prec in
  let qs := I.mul prec q square in let qr := I.mul prec q rise in
  match map (fun '(x, x1) => I.upper (near_middle (away x qs) (away x1 qr) dx)) xs with
  | [] => F.nan | h :: hs => fold_left umax hs h
  end.

Record acc := Acc { c0 : F.type; c1 : F.type; c2 : F.type; cl : F.type; heights : list F.type }.

Definition nothing : acc := Acc F.nan F.nan F.nan zero (map (fun _ => F.nan) lams).

Definition of_box (lo hi : F.type) : acc :=
  let m := F.midpoint lo hi in
  if F.real lo && F.real hi && F.real m && leb lo m && leb m hi then
    let b := I.bnd lo hi in
    match enclose prec e b, enclose prec e (point m) with
    | Some (b0, b1, b2, b3), Some (m0, m1, m2, m3) =>
        let dx := I.sub prec b (point m) in
        let narrow x mx x1 := I.abs (I.meet x (near_middle mx x1 dx)) in
        let r := narrow b0 m0 b1 in
        let square := I.sqr prec m0 in let rise := twice prec (I.mul prec b0 b1) in
        Acc (I.upper r) (I.upper (narrow b1 m1 b2)) (I.upper (narrow b2 m2 b3)) (lmin (low r) (low r))
          (map (fun '(k, less, m, u) => height square rise dx (less, m) (parts k (point u) m0 m1 m2 b0 b1 b2 b3)) lams)
    | _, _ => nothing
    end
  else nothing.

Definition nonneg_reals : bool := forallb (fun '(_, _, m, u) => real_nonneg m && real_nonneg u) lams.
Hypothesis signs : nonneg_reals = true.

(* h bounds the line at t *)
Definition over (t : R) (lam : multiplier) (h : F.type) : Prop :=
  let '(k, less, m, u) := lam in exists q v, F.toX m = Xreal q /\ 0 <= q /\ F.toX u = Xreal v /\ 0 <= v /\
    forall y, U (size_of k v t y - (if less : bool then q else - q) * value e t ^ 2) h.

Definition says (a : acc) (t : R) : Prop :=
  U (Rabs (value e t)) (c0 a) /\ U (Rabs (first e t)) (c1 a) /\ U (Rabs (second e t)) (c2 a) /\ Lo (Rabs (value e t)) (cl a) /\
  Forall2 (over t) lams (heights a).

Lemma lam_ok lam : In lam lams -> exists q v, F.toX (snd (fst lam)) = Xreal q /\ 0 <= q /\ F.toX (snd lam) = Xreal v /\ 0 <= v.
Proof.
  intros H. unfold nonneg_reals in signs. rewrite forallb_forall in signs. specialize (signs lam H). destruct lam as [[[k s] m] u].
  apply andb_true_iff in signs. destruct signs as [A B]. apply real_nonneg_ok in A, B. destruct A as (q & ? & ?), B as (v & ? & ?). exists q, v. auto.
Qed.

Lemma Forall2_map_r (P : multiplier -> F.type -> Prop) (f : multiplier -> F.type) l : (forall x, In x l -> P x (f x)) -> Forall2 P l (map f l).
Proof. induction l; simpl; intros H; constructor; auto. Qed.

Lemma nothing_ok t : says nothing t.
Proof.
  unfold says, nothing; cbn [c0 c1 c2 cl heights]. do 3 (split; [apply U_nan |]). split; [apply Lo_zero, Rabs_pos |].
  apply Forall2_map_r. intros lam H. destruct (lam_ok lam H) as (q & v & E & P & E' & P'). destruct lam as [[[k s] m] u]. exists q, v. repeat (split; [assumption |]). intros. apply U_nan.
Qed.

Lemma has_meet i j x : has i x -> has j x -> has (I.meet i j) x.
Proof. exact (I.meet_correct i j (Xreal x)). Qed.

Lemma umax_fold x hs : forall h, U x h \/ (exists g, In g hs /\ U x g) -> U x (fold_left umax hs h).
Proof.
  induction hs as [| g hs IH]; intros h H; simpl.
  - destruct H as [H | (g & [] & _)]. exact H.
  - apply IH. destruct H as [H | (g' & [<- | Hg] & H)].
    + left. now apply umax_l.
    + left. now apply umax_r.
    + right. eauto.
Qed.

Section Box.
Variables (a b m : R) (b0 b1 b2 b3 m0 m1 m2 m3 dx : I.type).
Hypothesis On : forall c, a <= c <= b -> good e c /\ has4 (b0, b1, b2, b3) (value e c) (first e c) (second e c) (third e c).
Hypothesis At : has4 (m0, m1, m2, m3) (value e m) (first e m) (second e m) (third e m).
Hypothesis Hm : a <= m <= b.

Lemma freed_derive v (f g : R -> R) c f1 g1 : is_derive f c f1 -> is_derive g c g1 -> 0 < v - g c * g c ->
  is_derive (fun t => v * (f t * f t) / (v - g t * g t)) c
    (2 * (v * f c * / (v - g c * g c) * (f1 + f c * / (v - g c * g c) * (g c * g1)))).
Proof.
  intros Hf Hg P. evar_last.
  - apply (is_derive_div (fun t => v * (f t * f t)) (fun t => v - g t * g t)); [| | lra].
    + eapply d_scaled; [| reflexivity]. eapply d_times; [exact Hf | exact Hf | reflexivity].
    + apply (is_derive_minus (fun _ => v) (fun t => g t * g t)); [apply is_derive_const |]. eapply d_times; [exact Hg | exact Hg | reflexivity].
  - unfold minus, plus, opp; simpl. change (@Hierarchy.zero _) with 0. field. lra.
Qed.

Lemma freed_above v f g y : 0 < v - g * g -> (f + g * y) ^ 2 - v * y ^ 2 <= v * (f * f) / (v - g * g).
Proof.
  intros P. apply Rmult_le_reg_r with (v - g * g); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
  assert (0 <= (f * g - (v - g * g) * y) ^ 2) by apply pow2_ge_0. lra.
Qed.

Lemma height_ok k less mf q uf v t y : F.toX mf = Xreal q -> 0 <= q -> F.toX uf = Xreal v -> a <= t <= b -> has dx (t - m) ->
  U (size_of k v t y - (if less : bool then q else - q) * value e t ^ 2)
    (height (I.sqr prec m0) (twice prec (I.mul prec b0 b1)) dx (less, mf) (parts k (point uf) m0 m1 m2 b0 b1 b2 b3)).
Proof.
  intros Eq Pq Eu Ht Hd. destruct At as (A0 & A1 & A2 & _). set (s := if less then q else - q).
  assert (Hq := has_point mf q Eq). assert (Hu := has_point uf v Eu).
  assert (One : forall X X1 x x1, (forall c, a <= c <= b -> is_derive X c (X1 c) /\ has x1 (X1 c)) -> has x (X m) ->
    U (X t - s * value e t ^ 2) (I.upper (near_middle ((if less then I.sub prec else I.add prec) x (I.mul prec (point mf) (I.sqr prec m0)))
      ((if less then I.sub prec else I.add prec) x1 (I.mul prec (point mf) (twice prec (I.mul prec b0 b1)))) dx))).
  { intros X X1 x x1 HX Hx. apply U_upper. replace (X t - s * value e t ^ 2) with (X t + - s * (value e t * value e t)) by ring.
    apply near_middle_ok with (X := fun t => X t + - s * (value e t * value e t)) (X1 := fun t => X1 t + - s * (2 * (value e t * first e t))) (a := a) (b := b) (m := m); auto.
    - intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). destruct (HX c Hc) as [Dx Hx1]. split.
      + apply d_plus; auto. eapply d_scaled; [| reflexivity]. eapply d_times. now apply value_derive. now apply value_derive. ring.
      + unfold s. destruct less.
        * apply has_eq with (X1 c - q * (2 * (value e c * first e c))); [| ring]. apply has_sub; auto. apply has_mul; auto. apply has_mul; [apply has_int | now apply has_mul].
        * apply has_eq with (X1 c + q * (2 * (value e c * first e c))); [| ring]. apply has_add; auto. apply has_mul; auto. apply has_mul; [apply has_int | now apply has_mul].
    - unfold s. destruct less.
      + apply has_eq with (X m - q * (value e m * value e m)); [| ring]. apply has_sub; auto. apply has_mul; auto. now apply has_sqr.
      + apply has_eq with (X m + q * (value e m * value e m)); [| ring]. apply has_add; auto. apply has_mul; auto. now apply has_sqr. }
  assert (Freed : forall f g f1 g1 ma mb ia ib ia1 ib1,
    (forall c, a <= c <= b -> is_derive f c (f1 c) /\ is_derive g c (g1 c) /\ has ia (f c) /\ has ib (g c) /\ has ia1 (f1 c) /\ has ib1 (g1 c)) ->
    has ma (f m) -> has mb (g m) ->
    U ((f t + g t * y) ^ 2 - v * y ^ 2 - s * value e t ^ 2)
      (height (I.sqr prec m0) (twice prec (I.mul prec b0 b1)) dx (less, mf) (freed (point uf) ma mb ia ib ia1 ib1))).
  { intros f g f1 g1 ma mb ia ib ia1 ib1 H Hma Hmb. unfold freed.
    destruct (above_zero (I.sub prec (point uf) (I.sqr prec mb)) && above_zero (I.sub prec (point uf) (I.sqr prec ib))) eqn:Ew; [| apply U_nan].
    apply andb_true_iff in Ew. destruct Ew as [Em Ew].
    assert (Pm : 0 < v - g m * g m) by (apply (above_zero_ok _ _ Em), has_sub; auto; now apply has_sqr).
    assert (Pc : forall c, a <= c <= b -> 0 < v - g c * g c) by (intros c Hc; apply (above_zero_ok _ _ Ew), has_sub; auto; apply has_sqr; now apply H).
    eapply U_le; [apply Rplus_le_compat_r, (freed_above v (f t) (g t) y (Pc t Ht)) |].
    apply (One (fun t => v * (f t * f t) / (v - g t * g t)) (fun c => 2 * (v * f c * / (v - g c * g c) * (f1 c + f c * / (v - g c * g c) * (g c * g1 c))))).
    - intros c Hc. destruct (H c Hc) as (D1 & D2 & H1 & H2 & H3 & H4). assert (P := Pc c Hc). split; [now apply freed_derive |].
      assert (Hi : has (I.inv prec (I.sub prec (point uf) (I.sqr prec ib))) (/ (v - g c * g c))) by (apply has_inv; [lra | apply has_sub; auto; now apply has_sqr]).
      apply has_mul; [apply has_int |]. apply has_mul; [apply has_mul; auto; now apply has_mul |].
      apply has_add; auto. apply has_mul; now apply has_mul.
    - apply has_div; [lra | apply has_mul; auto; now apply has_sqr | apply has_sub; auto; now apply has_sqr]. }
  destruct k; cbn [size_of parts height map fst snd].
  - apply umax_fold. unfold Rabs. destruct (Rcase_abs (first e t)).
    + right. eexists. split; [left; reflexivity |].
      apply (One (fun t => - first e t) (fun t => - second e t)); [| now apply has_neg].
      intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; [| now apply has_neg].
      apply (is_derive_opp (first e)). now apply first_derive.
    + left. apply (One (first e) (second e)); auto. intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; auto. now apply first_derive.
  - replace (first e t ^ 2) with (first e t * first e t) by ring. cbn [fold_left].
    apply (One (fun t => first e t * first e t) (fun t => 2 * (first e t * second e t))); [| now apply has_sqr].
    intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; [| apply has_mul; [apply has_int | now apply has_mul]].
    eapply d_times. now apply first_derive. now apply first_derive. ring.
  - replace (second e t ^ 2) with (second e t * second e t) by ring. cbn [fold_left].
    apply (One (fun t => second e t * second e t) (fun t => 2 * (second e t * third e t))); [| now apply has_sqr].
    intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; [| apply has_mul; [apply has_int | now apply has_mul]].
    eapply d_times. now apply second_derive. now apply second_derive. ring.
  - apply (Freed (fun t => value e t * first e t) (first e) (fun t => first e t * first e t + value e t * second e t) (second e)); auto.
    + intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; [| split; [now apply first_derive |]].
      * eapply d_times. now apply value_derive. now apply first_derive. ring.
      * unfold once. repeat split; auto. now apply has_mul. apply has_add; now apply has_mul.
    + now apply has_mul.
  - apply (Freed (fun t => first e t * first e t + value e t * second e t) (second e) (fun t => 3 * (first e t * second e t) + value e t * third e t) (third e)); auto.
    + intros c Hc. destruct (On c Hc) as (Gc & B0 & B1 & B2 & B3). split; [| split; [now apply second_derive |]].
      * evar_last. apply d_plus. eapply d_times. now apply first_derive. now apply first_derive. reflexivity.
        eapply d_times. now apply value_derive. now apply second_derive. reflexivity. ring.
      * unfold once, again. repeat split; auto. apply has_add; now apply has_mul. apply has_add; [apply has_mul; [apply has_int |] |]; now apply has_mul.
    + unfold once. apply has_add; now apply has_mul.
Qed.
End Box.

Lemma of_box_ok lo hi a b t : F.toX lo = Xreal a -> F.toX hi = Xreal b -> a <= t <= b -> says (of_box lo hi) t.
Proof.
  intros Ea Eb Ht. unfold of_box.
  destruct (F.real lo && F.real hi && F.real (F.midpoint lo hi) && leb lo (F.midpoint lo hi) && leb (F.midpoint lo hi) hi) eqn:R0; [| apply nothing_ok].
  rewrite !andb_true_iff in R0. destruct R0 as [[[[_ _] Rm] L1] L2]. destruct (classify_toX (F.midpoint lo hi) (real_classify _ Rm)) as [m Em].
  set (mf := F.midpoint lo hi) in *.
  assert (Hm : a <= m <= b).
  { split; [apply U_real with mf; auto; apply leb_U with lo; auto; apply U_of_real with a; auto; lra
           | apply U_real with hi; auto; apply leb_U with mf; auto; apply U_of_real with m; auto; lra]. }
  assert (On := fun c Hc => enclose_ok prec e (I.bnd lo hi) c (has_box lo hi a b c Ea Eb Hc)).
  assert (At := enclose_ok prec e (point mf) m (has_point mf m Em)).
  destruct (enclose prec e (I.bnd lo hi)) as [[[[b0 b1] b2] b3] |]; [| apply nothing_ok].
  destruct (enclose prec e (point mf)) as [[[[m0 m1] m2] m3] |]; [| apply nothing_ok].
  assert (On' : forall c, a <= c <= b -> good e c /\ has4 (b0, b1, b2, b3) (value e c) (first e c) (second e c) (third e c)) by (intros c Hc; now apply On).
  destruct (At _ eq_refl) as [_ At']. clear On At.
  set (dx := I.sub prec (I.bnd lo hi) (point mf)).
  assert (Hd : has dx (t - m)) by (apply has_sub; [now apply has_box with a b | now apply has_point]).
  assert (Hd' := At'). destruct Hd' as (A0 & A1 & A2 & A3). destruct (On' t Ht) as (Gt & T0 & T1 & T2 & T3).
  assert (N0 : has (I.abs (I.meet b0 (near_middle m0 b1 dx))) (Rabs (value e t))).
  { apply has_abs, has_meet; auto. apply near_middle_ok with (X := value e) (X1 := first e) (a := a) (b := b) (m := m); auto.
    intros c Hc. destruct (On' c Hc) as (Gc & B0 & B1 & B2 & B3). split; auto. now apply value_derive. }
  unfold says; cbn [c0 c1 c2 cl heights].
  split; [now apply U_upper |]. split; [| split; [| split]].
  - apply U_upper, has_abs, has_meet; auto. apply near_middle_ok with (X := first e) (X1 := second e) (a := a) (b := b) (m := m); auto.
    intros c Hc. destruct (On' c Hc) as (Gc & B0 & B1 & B2 & B3). split; auto. now apply first_derive.
  - apply U_upper, has_abs, has_meet; auto. apply near_middle_ok with (X := second e) (X1 := third e) (a := a) (b := b) (m := m); auto.
    intros c Hc. destruct (On' c Hc) as (Gc & B0 & B1 & B2 & B3). split; auto. now apply second_derive.
  - apply lmin_l; [apply Rabs_pos | now apply Lo_low].
  - apply Forall2_map_r. intros lam Hl. destruct (lam_ok lam Hl) as (q & v & E & P & E' & P'). destruct lam as [[[k less] f] u]. exists q, v. cbn [fst snd] in E, E'.
    repeat (split; [assumption |]). intros y. exact (height_ok a b m b0 b1 b2 b3 m0 m1 m2 m3 dx On' At' Hm k less f q u v t y E P E' Ht Hd).
Qed.

(** From boxes to tables. *)

Fixpoint zip (hs gs : list F.type) : list F.type :=
  match hs, gs with h :: hs, g :: gs => umax h g :: zip hs gs | _, _ => [] end.

Definition join (a b : acc) : acc :=
  Acc (umax (c0 a) (c0 b)) (umax (c1 a) (c1 b)) (umax (c2 a) (c2 b)) (lmin (cl a) (cl b)) (zip (heights a) (heights b)).

Definition complete (a : acc) : Prop := length (heights a) = length lams.

Lemma same_length (P : multiplier -> F.type -> Prop) ls hs : Forall2 P ls hs -> length hs = length ls.
Proof. induction 1; simpl; congruence. Qed.

Lemma says_complete a t : says a t -> complete a.
Proof. intros (_ & _ & _ & _ & H). exact (same_length _ _ _ H). Qed.

Lemma over_l t lam f g : over t lam f -> over t lam (umax f g).
Proof. destruct lam as [[[k s] m] u]. intros (q & v & ? & ? & ? & ? & H). exists q, v. repeat (split; [assumption |]). intros y. now apply umax_l. Qed.
Lemma over_r t lam f g : over t lam g -> over t lam (umax f g).
Proof. destruct lam as [[[k s] m] u]. intros (q & v & ? & ? & ? & ? & H). exists q, v. repeat (split; [assumption |]). intros y. now apply umax_r. Qed.

Lemma zip_l t ls : forall hs gs, Forall2 (over t) ls hs -> length gs = length ls -> Forall2 (over t) ls (zip hs gs).
Proof.
  induction ls as [| l ls IH]; intros hs gs H E; inversion H; subst; destruct gs; try discriminate; simpl; constructor; auto using over_l.
Qed.
Lemma zip_r t ls : forall hs gs, Forall2 (over t) ls gs -> length hs = length ls -> Forall2 (over t) ls (zip hs gs).
Proof.
  induction ls as [| l ls IH]; intros hs gs H E; inversion H; subst; destruct hs; try discriminate; simpl; constructor; auto using over_r.
Qed.

Lemma join_l a b t : complete b -> says a t -> says (join a b) t.
Proof.
  intros W (A0 & A1 & A2 & AL & B). unfold says, join; cbn [c0 c1 c2 cl heights].
  do 3 (split; [now apply umax_l |]). split; [apply lmin_l; auto using Rabs_pos | now apply zip_l].
Qed.
Lemma join_r a b t : complete a -> says b t -> says (join a b) t.
Proof.
  intros W (A0 & A1 & A2 & AL & B). unfold says, join; cbn [c0 c1 c2 cl heights].
  do 3 (split; [now apply umax_r |]). split; [apply lmin_r; auto using Rabs_pos | now apply zip_r].
Qed.

(* both sides of 0 *)
Definition sides (lo hi : F.type) : acc := join (of_box lo hi) (of_box (F.neg hi) (F.neg lo)).
Definition put (o : option acc) (lo hi : F.type) : acc := match o with None => sides lo hi | Some a => join a (sides lo hi) end.

Lemma neg_real f x : F.toX f = Xreal x -> F.toX (F.neg f) = Xreal (- x).
Proof. intros E. assert (K := F.neg_correct f). rewrite (toX_classify _ _ E), E in K. exact K. Qed.

Lemma sides_ok lo hi a b t : F.toX lo = Xreal a -> F.toX hi = Xreal b -> a <= Rabs t <= b -> says (sides lo hi) t.
Proof.
  intros Ea Eb Ht. assert (Na := neg_real lo a Ea). assert (Nb := neg_real hi b Eb). unfold sides. destruct (Rle_dec 0 t) as [P | P].
  - rewrite Rabs_pos_eq in Ht by auto. apply join_l.
    + apply says_complete with (- t). apply of_box_ok with (- b) (- a); auto. lra.
    + now apply of_box_ok with a b.
  - rewrite Rabs_left in Ht by lra. apply join_r.
    + apply says_complete with (- t). now apply of_box_ok with a b.
    + apply of_box_ok with (- b) (- a); auto. lra.
Qed.

Fixpoint fill (from : F.type) (ends : list F.type) (o : option acc) : option (F.type * acc) :=
  match ends with
  | [] => match o with Some a => Some (from, a) | None => None end
  | f :: ends => if F.real f && leb from f then fill f ends (Some (put o from f)) else None
  end.

Definition alike (k k' : quantity) : bool :=
  match k, k' with Slope1, Slope1 | Slope2, Slope2 | Bend2, Bend2 | Signal, Signal | Drift, Drift => true | _, _ => false end.

Definition lines_of (k : quantity) (less : bool) (hs : list F.type) : list (F.type * F.type) :=
  flat_map (fun '((k', less', m, _), h) => if alike k k' && Bool.eqb less less' then [(m, h)] else []) (combine lams hs).

Definition both (k : quantity) (hs : list F.type) : lines := Lines (lines_of k true hs) (lines_of k false hs).

Definition joints (k : quantity) (hs : list F.type) : list (F.type * lines) :=
  flat_map (fun '((k', less, m, u), h) => if alike k k' then [(u, if less : bool then Lines [(m, h)] [] else Lines [] [(m, h)])] else []) (combine lams hs).

Definition row_of (f : F.type) (a : acc) : row :=
  Row f (c0 a) (c1 a) (c2 a) (cl a) (both Slope1 (heights a)) (both Slope2 (heights a)) (both Bend2 (heights a))
    (joints Signal (heights a)) (joints Drift (heights a)).

(* A row for each group of boxes; every row is about all boxes so far. *)
Fixpoint table (from : F.type) (groups : list (list F.type)) (o : option acc) : list row :=
  match groups with
  | [] => []
  | ends :: groups => match fill from ends o with None => [] | Some (f, a) => row_of f a :: table f groups (Some a) end
  end.

Definition upto (from : F.type) (o : option acc) : Prop := exists x, F.toX from = Xreal x /\
  match o with None => x = 0 | Some a => complete a /\ forall t, Rabs t <= x -> says a t end.

Lemma fill_ok ends : forall from o f a, upto from o -> fill from ends o = Some (f, a) -> upto f (Some a).
Proof.
  induction ends as [| g ends IH]; intros from o f a H E; cbn [fill] in E.
  - destruct o as [b |]; try discriminate. injection E as <- <-. exact H.
  - destruct (F.real g && leb from g) eqn:Rf; try discriminate. apply (IH _ _ _ _) in E; auto. clear IH E.
    apply andb_true_iff in Rf. destruct Rf as [Rf Lf].
    destruct H as (x & Ex & H). destruct (classify_toX g (real_classify g Rf)) as [y Ey]. exists y. split; auto.
    assert (Hxy : x <= y) by (apply U_real with g; auto; apply leb_U with from; auto; apply U_of_real with x; auto; lra).
    assert (W' : complete (sides from g)).
    { destruct (Rle_dec 0 y) as [P | P].
      - destruct (Rle_dec 0 x).
        + apply says_complete with x. apply sides_ok with x y; auto. rewrite Rabs_pos_eq; lra.
        + apply says_complete with 0. apply sides_ok with x y; auto. rewrite Rabs_R0. lra.
      - destruct o as [b |].
        + unfold complete, sides, join; cbn [heights]. assert (N1 : complete (of_box from g)) by (apply says_complete with x; apply of_box_ok with x y; auto; lra).
          assert (N2 : complete (of_box (F.neg g) (F.neg from))) by (apply says_complete with (- x); apply of_box_ok with (- y) (- x); auto using neg_real; lra).
          assert (Zl : forall hs gs, length hs = length lams -> length gs = length hs -> length (zip hs gs) = length lams).
          { generalize (length lams). induction n; intros [| h hs] [| g' gs]; simpl; intros; try discriminate; auto. }
          apply Zl; auto. congruence.
        + lra. }
    destruct o as [b |]; cbn [put].
    + destruct H as [W H]. split.
      * unfold complete, join; cbn [heights]. revert W W'. unfold complete. generalize (heights b) (heights (sides from g)) (length lams).
        induction l; intros [| g' gs] [| n]; simpl; intros; try discriminate; auto.
      * intros t Ht. destruct (Rle_dec (Rabs t) x) as [L | L]. apply join_l; auto. apply join_r; auto. apply sides_ok with x y; auto. lra.
    + split; auto. intros t Ht. apply sides_ok with x y; auto. generalize (Rabs_pos t). lra.
Qed.

Lemma over_in t hs k less m u h : Forall2 (over t) lams hs -> In (k, less, m, u, h) (combine lams hs) -> over t (k, less, m, u) h.
Proof.
  intros H Hin. induction H; simpl in Hin; [destruct Hin |]. destruct Hin as [E | Hin]; [injection E as -> ->; assumption | auto].
Qed.

Lemma alike_ok k k' : alike k k' = true -> k' = k.
Proof. destruct k, k'; simpl; congruence. Qed.

Lemma lines_of_ok t k less hs : Forall2 (over t) lams hs -> forall m h, In (m, h) (lines_of k less hs) ->
  exists q v, F.toX m = Xreal q /\ 0 <= q /\ forall y, U (size_of k v t y - (if less then q else - q) * value e t ^ 2) h.
Proof.
  intros H m h Hin. unfold lines_of in Hin. apply in_flat_map in Hin. destruct Hin as ([[[[k' s'] m'] u] h'] & Hin & Hm).
  destruct (_ && _) eqn:E in Hm; [| destruct Hm]. destruct Hm as [Hm | []]. injection Hm as -> ->.
  apply andb_true_iff in E. destruct E as [Ek Es]. apply Bool.eqb_prop in Es. apply alike_ok in Ek. subst s' k'.
  destruct (over_in _ _ _ _ _ _ _ H Hin) as (q & v & ? & ? & _ & _ & K). exists q, v. auto.
Qed.

Lemma joints_ok t k hs (f g : R) : (forall u y, size_of k u t y = (f + g * y) ^ 2 - u * y ^ 2) -> Forall2 (over t) lams hs ->
  joint_ok f g (value e t) (joints k hs).
Proof.
  intros E H u l Hin. unfold joints in Hin. apply in_flat_map in Hin. destruct Hin as ([[[[k' less] m] u'] h] & Hin & Hm).
  destruct (alike k k') eqn:Ek; [| destruct Hm]. destruct Hm as [Hm | []]. injection Hm as -> <-. apply alike_ok in Ek. subst k'.
  destruct (over_in _ _ _ _ _ _ _ H Hin) as (q & v & Eq & Pq & Eu & Pu & K). exists v. split; [exact Eu | split; [exact Pu |]]. intros y. assert (Ky := K y). rewrite E in Ky.
  split; destruct less; cbn [up dn In]; intros m' h' [Em | []] || intros m' h' []; injection Em as <- <-; exists q; (split; [exact Eq | split; [exact Pq |]]).
  - exact Ky.
  - eapply U_le; [| exact Ky]. lra.
Qed.

Lemma row_of_ok Z f a : upto f (Some a) -> row_ok Z (value e) (first e) (second e) (row_of f a).
Proof.
  intros (x & Ex & W & H) t Ht He. assert (S := H t (U_real _ _ _ Ex He)).
  destruct S as (A0 & A1 & A2 & AL & B). unfold row_of; cbn [peak0 peak1 peak2 least slope1 slope2 bend2 signal drift].
  do 4 (split; [assumption |]).
  assert (L : forall k w, (forall u, size_of k u t 0 = w) -> lines_ok w (value e t) (both k (heights a))).
  { intros k w Hw. split; cbn [both up dn]; intros m h Hin; destruct (lines_of_ok t k _ _ B m h Hin) as (q & v & E & P & K); exists q;
      (split; [exact E | split; [exact P |]]); assert (K0 := K 0); rewrite Hw in K0; [exact K0 |]. eapply U_le; [| exact K0]. lra. }
  split; [now apply L | split; [now apply L | split; [now apply L | split]]]; apply joints_ok; auto.
Qed.

Lemma table_ok Z groups : forall from o, upto from o -> List.Forall (row_ok Z (value e) (first e) (second e)) (table from groups o).
Proof.
  induction groups as [| ends groups IH]; intros from o H; cbn [table]; [constructor |].
  destruct (fill from ends o) as [[f a] |] eqn:E; [| constructor].
  assert (K := fill_ok _ _ _ _ _ H E). constructor. now apply row_of_ok. apply IH. exact K.
Qed.

Lemma upto_zero : upto zero None.
Proof. exists 0. split; auto. apply F.zero_correct. Qed.

End Tables.
End Tables.
