(* Enclosures of a formula and its derivatives on an interval, computed with interval arithmetic. *)
From Coq Require Import Reals QArith Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors calculus erf formulas tight.
Import ListNotations.
Open Scope R_scope.

Module Enclose (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Ti := Tight F.
Export Ti.
Export Ti.To Ti.To.Ro Ti.To.Ro.C Ti.To.Ro.C.B.
Module I := FloatIntervalFull F.

(** Ends of intervals, and points. *)

Definition has (i : I.type) (x : R) : Prop := contains (I.convert i) (Xreal x).

Lemma U_upper i x : has i x -> U x (I.upper i).
Proof.
  unfold has. destruct i as [| l u]; simpl. intros _. apply U_nan.
  destruct (F.valid_lb l && F.valid_ub u) eqn:E; simpl.
  - intros [_ H]. apply andb_true_iff in E. split. apply E. change (F.toX u) with (I.F.toX u). destruct (I.F.toX u); simpl in *; auto.
  - intros [A B]. simpl in *. lra.
Qed.

Definition low (i : I.type) : F.type := match i with Float.Ibnd l _ => l | _ => F.nan end.

Lemma Lo_low i x : has i x -> Lo x (low i).
Proof.
  unfold has. destruct i as [| l u]; simpl.
  - intros _. split. rewrite F.valid_lb_correct, F.nan_correct. reflexivity. unfold le_lower. rewrite not_real; [exact I | rewrite F.nan_correct; congruence].
  - destruct (F.valid_lb l && F.valid_ub u) eqn:E; simpl.
    + intros [H _]. apply andb_true_iff in E. split. apply E. unfold le_lower. change (F.toX l) with (I.F.toX l). destruct (I.F.toX l); simpl in *; auto; lra.
    + intros [A B]. simpl in *. lra.
Qed.

Definition point (m : F.type) : I.type := I.bnd m m.

Lemma has_box lo hi a b t : F.toX lo = Xreal a -> F.toX hi = Xreal b -> a <= t <= b -> has (I.bnd lo hi) t.
Proof.
  intros Ea Eb Ht. unfold has. rewrite I.bnd_correct.
  - change (I.F.toX lo) with (F.toX lo). change (I.F.toX hi) with (F.toX hi). rewrite Ea, Eb. exact Ht.
  - unfold I.valid_lb. change I.F.valid_lb with F.valid_lb. rewrite F.valid_lb_correct, (toX_classify _ _ Ea). reflexivity.
  - unfold I.valid_ub. change I.F.valid_ub with F.valid_ub. rewrite F.valid_ub_correct, (toX_classify _ _ Eb). reflexivity.
Qed.

Lemma has_point m q : F.toX m = Xreal q -> has (point m) q.
Proof. intros E. apply has_box with q q; auto. lra. Qed.

Lemma same {A} (a b : A) : Some a = Some b -> a = b.
Proof. now injection 1. Qed.

Section Enclose.
Variable prec : F.precision.

Definition int (z : Z) : I.type := I.fromZ prec z.
Definition ratio (a b : Z) : I.type := I.div prec (int a) (int b).

Lemma has_int z : has (int z) (IZR z).
Proof. exact (I.fromZ_correct prec z). Qed.
Lemma has_add i j x y : has i x -> has j y -> has (I.add prec i j) (x + y).
Proof. exact (I.add_correct prec i j (Xreal x) (Xreal y)). Qed.
Lemma has_sub i j x y : has i x -> has j y -> has (I.sub prec i j) (x - y).
Proof. exact (I.sub_correct prec i j (Xreal x) (Xreal y)). Qed.
Lemma has_mul i j x y : has i x -> has j y -> has (I.mul prec i j) (x * y).
Proof. exact (I.mul_correct prec i j (Xreal x) (Xreal y)). Qed.
Lemma has_sqr i x : has i x -> has (I.sqr prec i) (x * x).
Proof. exact (I.sqr_correct prec i (Xreal x)). Qed.
Lemma has_neg i x : has i x -> has (I.neg i) (- x).
Proof. exact (I.neg_correct i (Xreal x)). Qed.
Lemma has_abs i x : has i x -> has (I.abs i) (Rabs x).
Proof. exact (I.abs_correct i (Xreal x)). Qed.
Lemma has_exp i x : has i x -> has (I.exp prec i) (exp x).
Proof. exact (I.exp_correct prec i (Xreal x)). Qed.
Lemma has_sin i x : has i x -> has (I.sin prec i) (sin x).
Proof. exact (I.sin_correct prec i (Xreal x)). Qed.
Lemma has_cos i x : has i x -> has (I.cos prec i) (cos x).
Proof. exact (I.cos_correct prec i (Xreal x)). Qed.
Lemma has_atan i x : has i x -> has (I.atan prec i) (atan x).
Proof. exact (I.atan_correct prec i (Xreal x)). Qed.
Lemma has_pi : has (I.pi prec) PI.
Proof. exact (I.pi_correct prec). Qed.
Lemma has_inv i x : x <> 0 -> has i x -> has (I.inv prec i) (/ x).
Proof.
  intros Hx H. assert (K := I.inv_correct prec i (Xreal x) H). unfold has. simpl in K. unfold Xinv' in K.
  destruct (is_zero_spec x) as [E | _] in K; [contradiction | exact K].
Qed.
Lemma has_div i j x y : y <> 0 -> has i x -> has j y -> has (I.div prec i j) (x / y).
Proof.
  intros Hy Hi Hj. assert (K := I.div_correct prec i j (Xreal x) (Xreal y) Hi Hj). unfold has. simpl in K. unfold Xdiv' in K.
  destruct (is_zero_spec y) as [E | _] in K; [contradiction | exact K].
Qed.
Lemma has_ln i x : 0 < x -> has i x -> has (I.ln prec i) (ln x).
Proof.
  intros Hx H. assert (K := I.ln_correct prec i (Xreal x) H). unfold has. simpl in K. unfold Xln' in K.
  destruct (is_positive_spec x) as [_ | E] in K; [exact K | lra].
Qed.
Lemma has_sqrt i x : has i x -> has (I.sqrt prec i) (sqrt x).
Proof. exact (I.sqrt_correct prec i (Xreal x)). Qed.
Lemma has_ratio a b : (b <> 0)%Z -> has (ratio a b) (IZR a / IZR b).
Proof. intros Hb. apply has_div; auto using has_int. now apply not_0_IZR. Qed.
Lemma has_eq i x y : has i x -> x = y -> has i y.
Proof. now intros H <-. Qed.

Definition above_zero (i : I.type) : bool := ltb zero (low i).

Lemma ltb_lt f g x : ltb f g = true -> F.toX f = Xreal x -> forall y, Lo y g -> x < y.
Proof.
  unfold ltb. rewrite F.cmp_correct. intros H E y [V L]. rewrite (toX_classify _ _ E) in H. rewrite F.valid_lb_correct in V.
  destruct (F.classify g) eqn:C; try discriminate. destruct (classify_toX g C) as [b Hb]. rewrite E, Hb in *.
  unfold le_lower in L. simpl in *. destruct (Rcompare_spec x b); try discriminate. lra.
Qed.

Lemma above_zero_ok i x : above_zero i = true -> has i x -> 0 < x.
Proof. intros H K. apply (ltb_lt _ _ 0 H F.zero_correct). now apply Lo_low. Qed.

Lemma below_zero_ok i x : above_zero (I.neg i) = true -> has i x -> x < 0.
Proof. intros H K. assert (0 < - x); [| lra]. apply above_zero_ok with (I.neg i); auto using has_neg. Qed.

Definition four := (I.type * I.type * I.type * I.type)%type.

Definition twice (i : I.type) : I.type := I.mul prec (int 2) i.

(* The error function: its series in the middle of an interval, until a term is tiny, and its slope on the interval. *)
Definition tiny : F.type := low (ratio 1 (2 ^ 64)).

Fixpoint erf_terms (fuel k : nat) (t s q : I.type) : nat * I.type * I.type :=
  match fuel with
  | O => (k, t, s)
  | S fuel =>
      if leb (I.upper (I.abs t)) tiny then (k, t, s)
      else erf_terms fuel (S k) (I.div prec (I.mul prec t q) (int (2 * Z.of_nat k + 3))) (I.add prec s t) q
  end.

Definition erf_factor : I.type := I.div prec (int 2) (I.sqrt prec (I.pi prec)).
Definition bell_on (x : I.type) : I.type := I.exp prec (I.neg (I.sqr prec x)).

Definition erf_at (m : F.type) : I.type :=
  let x := point m in
  let '(n, t, s) := erf_terms 400 0 x (int 0) (I.mul prec (int 2) (I.sqr prec x)) in
  let rest := I.upper (I.mul prec erf_factor (I.mul prec (int (2 * Z.of_nat n + 1)) (I.abs t))) in
  if F.real rest then I.add prec (I.mul prec erf_factor (I.mul prec (bell_on x) s)) (I.bnd (F.neg rest) rest) else I.nai.

Definition erf_on (x : I.type) : I.type :=
  let m := I.midpoint x in I.add prec (erf_at m) (I.mul prec (I.mul prec erf_factor (bell_on x)) (I.sub prec x (point m))).

Lemma has_nat a b k : has (int (a * Z.of_nat k + b)) (IZR a * INR k + IZR b).
Proof. apply has_eq with (IZR (a * Z.of_nat k + b)); [apply has_int |]. now rewrite plus_IZR, mult_IZR, INR_IZR_INZ. Qed.

Lemma has_factor : has erf_factor erf_scale.
Proof. apply has_div; [| apply has_int | apply has_sqrt, has_pi]. assert (0 < sqrt PI) by apply sqrt_lt_R0, PI_RGT_0. lra. Qed.

Lemma has_bell x v : has x v -> has (bell_on x) (bell v).
Proof. intros H. now apply has_exp, has_neg, has_sqr. Qed.

Lemma erf_terms_ok v q : has q (2 * (v * v)) -> forall fuel k t s, has t (T k v) -> has s (series k v) ->
  let '(n, t', s') := erf_terms fuel k t s q in has t' (T n v) /\ has s' (series n v).
Proof.
  intros Hq. induction fuel as [| fuel IH]; intros k t s Ht Hs; cbn [erf_terms]; [now split |].
  destruct (leb (I.upper (I.abs t)) tiny); [now split |]. apply IH; [| cbn [series]; now apply has_add].
  rewrite T_step. assert (0 <= INR k) by apply pos_INR. apply has_eq with (T k v * (2 * (v * v)) / (2 * INR k + 3)); [| field; lra].
  apply has_div; [lra | now apply has_mul | apply (has_nat 2 3)].
Qed.

Lemma erf_at_ok m v : F.toX m = Xreal v -> has (erf_at m) (erf v).
Proof.
  intros E. assert (Hx := has_point m v E). unfold erf_at.
  assert (K := erf_terms_ok v (I.mul prec (int 2) (I.sqr prec (point m))) ltac:(apply has_mul; [apply has_int | now apply has_sqr]) 400 0 (point m) (int 0)
    ltac:(apply has_eq with v; [exact Hx | unfold T; simpl; ring]) (has_int 0)).
  destruct (erf_terms _ _ _ _ _) as [[n t] s]. destruct K as [Ht Hs].
  set (rest := I.upper _). destruct (F.real rest) eqn:R; [| unfold has; now rewrite I.nai_correct].
  destruct (classify_toX _ (real_classify _ R)) as [r Er].
  assert (Ur : U (erf_scale * ((2 * INR n + 1) * Rabs (T n v))) rest).
  { apply U_upper, has_mul; [apply has_factor |]. apply has_mul; [apply (has_nat 2 1) | now apply has_abs]. }
  assert (B := erf_series n v). assert (Br : Rabs (erf v - erf_scale * (bell v * series n v)) <= r).
  { eapply Rle_trans; [exact B |]. destruct Ur as [_ L]. rewrite Er in L. exact L. }
  apply has_eq with (erf_scale * (bell v * series n v) + (erf v - erf_scale * (bell v * series n v))); [| ring].
  apply has_add; [apply has_mul; [apply has_factor |]; apply has_mul; auto; now apply has_bell |].
  apply has_box with (- r) r; [| exact Er | now apply Rabs_le_inv].
  assert (K := F.neg_correct rest). rewrite (toX_classify _ _ Er), Er in K. exact K.
Qed.

Lemma erf_on_ok x v : has x v -> has (erf_on x) (erf v).
Proof.
  intros H. destruct (I.midpoint_correct x) as [Em Hm]. { exists v. exact H. }
  change (F.toX (I.midpoint x) = Xreal (I.F.toR (I.midpoint x))) in Em. set (c := I.F.toR (I.midpoint x)) in *.
  assert (Hc : has x c). { unfold has. change (I.F.toX (I.midpoint x)) with (F.toX (I.midpoint x)) in Hm. now rewrite Em in Hm. }
  destruct (mvt_any erf (fun x => erf_scale * bell x) (Rmin c v) (Rmax c v)) with (a := c) (b := v) as (y & Hy & E).
  - intros; apply erf_derive.
  - split; [apply Rmin_l | apply Rmax_l].
  - split; [apply Rmin_r | apply Rmax_r].
  - assert (Hxy : has x y).
    { unfold Rmin, Rmax in Hy. destruct (Rle_dec c v); [apply (contains_connected _ c v) | apply (contains_connected _ v c)]; auto. }
    unfold erf_on. replace (erf v) with (erf c + erf_scale * bell y * (v - c)) by lra.
    apply has_add; [now apply erf_at_ok |]. apply has_mul; [apply has_mul; [apply has_factor | now apply has_bell] |].
    apply has_sub; auto. now apply has_point.
Qed.

(* An elementary function and its derivatives on an interval; None where it may be undefined. *)
Definition elementary_on (f : elementary) (x : I.type) : option four :=
  let mul := I.mul prec in let one := int 1 in
  match f with
  | Inverse => if above_zero x || above_zero (I.neg x) then
      let i := I.inv prec x in let q := I.sqr prec i in
      Some (i, I.neg q, twice (mul i q), mul (int (-6)) (I.sqr prec q)) else None
  | Exp => let y := I.exp prec x in Some (y, y, y, y)
  | Ln => if above_zero x then
      let i := I.inv prec x in let q := I.sqr prec i in Some (I.ln prec x, i, I.neg q, twice (mul i q)) else None
  | Sqrt => if above_zero x then
      let y := I.sqrt prec x in let i := I.inv prec y in let v := I.inv prec x in
      Some (y, mul (ratio 1 2) i, I.neg (mul (ratio 1 4) (mul i v)), mul (ratio 3 8) (mul i (I.sqr prec v))) else None
  | Sin => let s := I.sin prec x in let c := I.cos prec x in Some (s, c, I.neg s, I.neg c)
  | Cos => let s := I.sin prec x in let c := I.cos prec x in Some (c, I.neg s, I.neg c, s)
  | Atan => let q := I.sqr prec x in let w := I.inv prec (I.add prec one q) in let w2 := I.sqr prec w in
      Some (I.atan prec x, w, mul (int (-2)) (mul x w2), mul (I.sub prec (mul (int 6) q) (int 2)) (mul w w2))
  | Tanh => let y := I.sub prec one (I.div prec (int 2) (I.add prec (I.exp prec (twice x)) one)) in
      let q := I.sqr prec y in let d := I.sub prec one q in
      Some (y, d, mul (int (-2)) (mul y d), mul (int (-2)) (mul d (I.sub prec one (mul (int 3) q))))
  | Logistic => let s := I.inv prec (I.add prec one (I.exp prec (I.neg x))) in let d := mul s (I.sub prec one s) in
      Some (s, d, mul d (I.sub prec one (twice s)), mul d (I.sub prec one (mul (int 6) d)))
  | Softplus => let s := I.inv prec (I.add prec one (I.exp prec (I.neg x))) in let d := mul s (I.sub prec one s) in
      Some (I.ln prec (I.add prec one (I.exp prec x)), s, d, mul d (I.sub prec one (twice s)))
  | Erf => let b := mul erf_factor (bell_on x) in
      Some (erf_on x, b, mul (int (-2)) (mul x b), mul (I.sub prec (mul (int 4) (I.sqr prec x)) (int 2)) b)
  end.

Definition has4 (i : four) (x y z w : R) : Prop := let '(a, b, c, d) := i in has a x /\ has b y /\ has c z /\ has d w.

Ltac enclosed := repeat first [ assumption | apply has_add | apply has_sub | apply has_mul | apply has_sqr | apply has_neg | apply has_exp | apply has_int
  | apply has_sin | apply has_cos | apply has_atan | apply has_sqrt ].

Lemma elementary_ok f x i v : elementary_on f x = Some i -> has x v -> domain f v /\ has4 i (der 0 f v) (der 1 f v) (der 2 f v) (der 3 f v).
Proof.
  intros E0 H. destruct f; cbv beta iota zeta delta [elementary_on domain] in *; unfold der, pick, has4, twice; rename E0 into E.
  - destruct (above_zero x || above_zero (I.neg x)) eqn:P; [| discriminate].
    assert (Hv : v <> 0).
    { apply orb_true_iff in P. destruct P as [P | P]; [assert (K := above_zero_ok x v P H) | assert (K := below_zero_ok x v P H)]; lra. }
    apply same in E; subst i. assert (Hi := has_inv x v Hv H). split; [exact Hv |]. repeat split; enclosed.
  - apply same in E; subst i. split; [exact I |]. repeat split; enclosed.
  - destruct (above_zero x) eqn:P; [| discriminate]. assert (Hv := above_zero_ok x v P H). apply same in E; subst i.
    assert (Hi := has_inv x v ltac:(lra) H). assert (Hl := has_ln x v Hv H). split; [exact Hv |]. repeat split; enclosed.
  - destruct (above_zero x) eqn:P; [| discriminate]. assert (Hv := above_zero_ok x v P H). apply same in E; subst i.
    assert (0 < sqrt v) by now apply sqrt_lt_R0.
    assert (Hi := has_inv (I.sqrt prec x) (sqrt v) ltac:(lra) (has_sqrt x v H)). assert (Hw := has_inv x v ltac:(lra) H).
    split; [exact Hv |]. repeat split; enclosed.
    + apply has_eq with (1 / 2); [now apply has_ratio | lra].
    + apply has_eq with (1 / 4); [now apply has_ratio | lra].
    + now apply has_ratio.
  - apply same in E; subst i. split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. assert (Hw : has (I.inv prec (I.add prec (int 1) (I.sqr prec x))) (/ (1 + v * v))) by (apply has_inv; [nra | enclosed]).
    split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. assert (Hy : has (I.sub prec (int 1) (I.div prec (int 2) (I.add prec (I.exp prec (I.mul prec (int 2) x)) (int 1)))) (tanh v)).
    { rewrite tanh_exp. generalize (exp_pos (2 * v)); intros. apply has_sub; [apply has_int |]. apply has_div; [lra | apply has_int | enclosed]. }
    split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. assert (Hs : has (I.inv prec (I.add prec (int 1) (I.exp prec (I.neg x)))) (logistic v)).
    { generalize (exp_pos (- v)); intros. apply has_inv; [lra | enclosed]. }
    split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. assert (Hs : has (I.inv prec (I.add prec (int 1) (I.exp prec (I.neg x)))) (logistic v)).
    { generalize (exp_pos (- v)); intros. apply has_inv; [lra | enclosed]. }
    split; [exact I |]. split; [| repeat split; enclosed]. generalize (exp_pos v); intros. apply has_ln; [lra | enclosed].
  - apply same in E; subst i. assert (Hb := has_factor). assert (Hw := has_bell x v H). assert (He := erf_on_ok x v H).
    split; [exact I |]. repeat split; enclosed.
Qed.

Fixpoint enclose (e : formula) (b : I.type) : option four :=
  let mul := I.mul prec in let add := I.add prec in
  match e with
  | Var => Some (b, int 1, int 0, int 0)
  | Num q => Some (ratio (Qnum q) (Zpos (Qden q)), int 0, int 0, int 0)
  | Pi => Some (I.pi prec, int 0, int 0, int 0)
  | Plus x y =>
      match enclose x b, enclose y b with
      | Some (x0, x1, x2, x3), Some (y0, y1, y2, y3) => Some (add x0 y0, add x1 y1, add x2 y2, add x3 y3)
      | _, _ => None
      end
  | Times x y =>
      match enclose x b, enclose y b with
      | Some (x0, x1, x2, x3), Some (y0, y1, y2, y3) =>
          Some (mul x0 y0, add (mul x1 y0) (mul x0 y1), add (add (mul x2 y0) (twice (mul x1 y1))) (mul x0 y2),
            add (add (mul x3 y0) (mul (int 3) (add (mul x2 y1) (mul x1 y2)))) (mul x0 y3))
      | _, _ => None
      end
  | Square x =>
      match enclose x b with
      | Some (x0, x1, x2, x3) =>
          Some (I.sqr prec x0, twice (mul x0 x1), twice (add (I.sqr prec x1) (mul x0 x2)),
            add (mul (int 6) (mul x1 x2)) (twice (mul x0 x3)))
      | None => None
      end
  | Call f x =>
      match enclose x b with
      | Some (x0, x1, x2, x3) =>
          match elementary_on f x0 with
          | Some (f0, f1, f2, f3) =>
              let q := I.sqr prec x1 in
              Some (f0, mul f1 x1, add (mul f2 q) (mul f1 x2),
                add (add (mul f3 (mul x1 q)) (mul (int 3) (mul f2 (mul x1 x2)))) (mul f1 x3))
          | None => None
          end
      | None => None
      end
  end.

Lemma enclose_ok e b t : has b t -> forall i, enclose e b = Some i -> good e t /\ has4 i (value e t) (first e t) (second e t) (third e t).
Proof.
  intros H. induction e as [| q | | x IHx y IHy | x IHx y IHy | x IHx | f x IHx]; cbn [enclose good value first second third]; intros i E.
  - apply same in E; subst i. split; [exact I |]. repeat split; enclosed.
  - apply same in E; subst i. split; [exact I |]. split; [| repeat split; enclosed]. apply has_ratio. discriminate.
  - apply same in E; subst i. split; [exact I |]. split; [apply has_pi | repeat split; enclosed].
  - destruct (enclose x b) as [[[[x0 x1] x2] x3] |]; [| discriminate]. destruct (enclose y b) as [[[[y0 y1] y2] y3] |]; [| discriminate].
    apply same in E; subst i. destruct (IHx _ eq_refl) as (? & ? & ? & ? & ?). destruct (IHy _ eq_refl) as (? & ? & ? & ? & ?).
    split; [split; assumption |]. repeat split; enclosed.
  - destruct (enclose x b) as [[[[x0 x1] x2] x3] |]; [| discriminate]. destruct (enclose y b) as [[[[y0 y1] y2] y3] |]; [| discriminate].
    apply same in E; subst i. destruct (IHx _ eq_refl) as (? & ? & ? & ? & ?). destruct (IHy _ eq_refl) as (? & ? & ? & ? & ?).
    split; [split; assumption |]. unfold twice. repeat split; enclosed.
  - destruct (enclose x b) as [[[[x0 x1] x2] x3] |]; [| discriminate].
    apply same in E; subst i. destruct (IHx _ eq_refl) as (? & ? & ? & ? & ?). split; [assumption |]. unfold twice. repeat split; enclosed.
  - destruct (enclose x b) as [[[[x0 x1] x2] x3] |]; [| discriminate]. destruct (elementary_on f x0) as [[[[f0 f1] f2] f3] |] eqn:Ef; [| discriminate].
    apply same in E; subst i. destruct (IHx _ eq_refl) as (? & ? & ? & ? & ?). destruct (elementary_ok f x0 _ _ Ef H1) as (? & ? & ? & ? & ?).
    split; [split; assumption |]. repeat split; enclosed.
Qed.

End Enclose.
End Enclose.
