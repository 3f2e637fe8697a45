(* Claims on functions of one variable, checked by computation: ranges, and distances from sums of ReLUs. *)
From Coq Require Import Reals QArith Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors calculus sums formulas tight enclose tables.
Import ListNotations.
Open Scope R_scope.

Module Fits (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Ta := Tables F.
Export Ta.

Definition derivative (k : nat) (e : formula) : R -> R := pick k (value e) (first e) (second e) (third e).

Lemma derivative_derive k e t : (k < 3)%nat -> good e t -> is_derive (derivative k e) t (derivative (S k) e t).
Proof.
  intros Hk Hg. assert (K : k = 0%nat \/ k = 1%nat \/ k = 2%nat) by lia. destruct K as [-> | [-> | ->]]; unfold derivative, pick.
  now apply value_derive. now apply first_derive. now apply second_derive.
Qed.

Section Check.
Variable prec : F.precision.
Variable e : formula.

(* Derivative k and the two after it. *)
Definition from (k : nat) (i : four) : I.type * I.type * I.type :=
  let '(a, b, c, d) := i in pick k (a, b, c) (b, c, d) (c, d, I.nai) (d, I.nai, I.nai).

Lemma has_nai x : has I.nai x.
Proof. unfold has. now rewrite I.nai_correct. Qed.

Lemma from_ok k i t : (k <= 3)%nat -> has4 i (value e t) (first e t) (second e t) (third e t) ->
  let '(x, x1, x2) := from k i in has x (derivative k e t) /\ ((k < 3)%nat -> has x1 (derivative (S k) e t)) /\ ((k < 2)%nat -> has x2 (derivative (S (S k)) e t)).
Proof.
  destruct i as [[[a b] c] d]. intros Hk (A & B & C & D).
  assert (K : k = 0%nat \/ k = 1%nat \/ k = 2%nat \/ k = 3%nat) by lia. destruct K as [-> | [-> | [-> | ->]]]; unfold from, derivative, pick;
    repeat split; intros; auto; lia.
Qed.

Definition nonneg (i : I.type) : bool := real_nonneg (low i).

Lemma nonneg_ok i x : nonneg i = true -> has i x -> 0 <= x.
Proof.
  unfold nonneg. intros H K. destruct (real_nonneg_ok _ H) as (r & Er & Pr). destruct (Lo_low i x K) as [_ L].
  unfold le_lower in L. rewrite Er in L. simpl in L. lra.
Qed.

Definition middle (lo hi : F.type) : option F.type :=
  let m := F.midpoint lo hi in if F.real lo && F.real hi && F.real m && leb lo m && leb m hi then Some m else None.

Lemma leb_le x y a b : leb x y = true -> F.toX x = Xreal a -> F.toX y = Xreal b -> a <= b.
Proof. intros H Ex Ey. apply U_real with y; auto. apply leb_U with x; auto. apply U_of_real with a; auto. lra. Qed.

Lemma middle_ok lo hi m a b : middle lo hi = Some m -> F.toX lo = Xreal a -> F.toX hi = Xreal b -> exists c, F.toX m = Xreal c /\ a <= c <= b.
Proof.
  unfold middle. intros H Ea Eb.
  destruct (F.real lo && F.real hi && F.real (F.midpoint lo hi) && leb lo (F.midpoint lo hi) && leb (F.midpoint lo hi) hi) eqn:R0; [| discriminate].
  apply same in H. subst m. rewrite !andb_true_iff in R0. destruct R0 as [[[[_ _] Rm] L1] L2].
  destruct (classify_toX _ (real_classify _ Rm)) as [c Ec]. exists c. split; [exact Ec |]. split; [now apply (leb_le _ _ _ _ L1) | now apply (leb_le _ _ _ _ L2)].
Qed.

(** low <= derivative k <= high on an interval: by its values, by its ends where it is monotone, or in two halves. *)

Definition between (l h : F.type) (i : I.type) : bool := leb (I.upper i) h && leb l (low i).

Lemma between_ok l h L H i x : between l h i = true -> F.toX l = Xreal L -> F.toX h = Xreal H -> has i x -> L <= x <= H.
Proof.
  intros B El Eh Hi. apply andb_true_iff in B. destruct B as [B1 B2]. split.
  - destruct (leb_Lo _ _ _ B2 (Lo_low i x Hi)) as [_ K]. unfold le_lower in K. rewrite El in K. simpl in K. lra.
  - apply U_real with h; auto. apply leb_U with (I.upper i); auto. now apply U_upper.
Qed.

Definition at_point (k : nat) (x : F.type) : I.type :=
  match enclose prec e (point x) with Some i => let '(a, _, _) := from k i in a | None => I.nai end.

Lemma at_point_ok k x q : (k <= 3)%nat -> F.toX x = Xreal q -> has (at_point k x) (derivative k e q).
Proof.
  intros Hk Ex. unfold at_point. assert (K := enclose_ok prec e (point x) q (has_point x q Ex)).
  destruct (enclose prec e (point x)) as [i |]; [| apply has_nai]. destruct (K _ eq_refl) as [_ H].
  assert (K' := from_ok k i q Hk H). destruct (from k i) as [[a b] c]. apply K'.
Qed.

Fixpoint within (fuel k : nat) (l h lo hi : F.type) : bool :=
  match fuel with
  | O => false
  | S fuel =>
      match middle lo hi with
      | None => false
      | Some m =>
          let halves := within fuel k l h lo m && within fuel k l h m hi in
          match enclose prec e (I.bnd lo hi) with
          | None => halves
          | Some i =>
              let '(x, x1, _) := from k i in
              if between l h x then true
              else if negb (between l h (at_point k m)) then false
              else if Nat.ltb k 3 && (nonneg x1 || nonneg (I.neg x1)) then between l h (at_point k lo) && between l h (at_point k hi)
              else if Nat.ltb k 3 && between l h (near_middle prec (at_point k m) x1 (I.sub prec (I.bnd lo hi) (point m))) then true
              else halves
          end
      end
  end.

Lemma within_ok k l h L H : (k <= 3)%nat -> F.toX l = Xreal L -> F.toX h = Xreal H -> forall fuel lo hi a b,
  within fuel k l h lo hi = true -> F.toX lo = Xreal a -> F.toX hi = Xreal b -> forall t, a <= t <= b -> good e t /\ L <= derivative k e t <= H.
Proof.
  intros Hk El Eh. induction fuel as [| fuel IH]; intros lo hi a b Hw Ea Eb t Ht; [discriminate |]. cbn [within] in Hw.
  destruct (middle lo hi) as [m |] eqn:Em; [| discriminate]. destruct (middle_ok lo hi m a b Em Ea Eb) as (c & Ec & Hc).
  assert (Halves : within fuel k l h lo m && within fuel k l h m hi = true -> good e t /\ L <= derivative k e t <= H).
  { intros B. apply andb_true_iff in B. destruct B as [B1 B2]. destruct (Rle_dec t c).
    - apply (IH lo m a c B1 Ea Ec). lra.
    - apply (IH m hi c b B2 Ec Eb). lra. }
  assert (On := fun t Ht => enclose_ok prec e (I.bnd lo hi) t (has_box lo hi a b t Ea Eb Ht)).
  destruct (enclose prec e (I.bnd lo hi)) as [i |]; [| now apply Halves].
  assert (On' : forall t, a <= t <= b -> good e t /\ let '(x, x1, x2) := from k i in has x (derivative k e t) /\ ((k < 3)%nat -> has x1 (derivative (S k) e t)) /\ ((k < 2)%nat -> has x2 (derivative (S (S k)) e t))).
  { intros q Hq. destruct (On q Hq _ eq_refl) as [G H4]. split; [exact G | now apply from_ok]. }
  destruct (from k i) as [[x x1] x2]. destruct (between l h x) eqn:B1.
  { destruct (On' t Ht) as (G & K & _). split; [exact G | now apply (between_ok l h L H x)]. }
  destruct (negb (between l h (at_point k m))); [discriminate |].
  destruct (On' t Ht) as (Gt & _). destruct (Nat.ltb k 3) eqn:K3; [| now apply Halves]. apply Nat.ltb_lt in K3. cbn [andb] in Hw.
  assert (Dv : forall q, a <= q <= b -> is_derive (derivative k e) q (derivative (S k) e q) /\ has x1 (derivative (S k) e q)).
  { intros q Hq. destruct (On' q Hq) as (G & _ & K & _). split; [now apply derivative_derive | now apply K]. }
  destruct (nonneg x1 || nonneg (I.neg x1)) eqn:Mo.
  - split; [exact Gt |]. apply andb_true_iff in Hw. destruct Hw as [W1 W2].
    assert (A1 := between_ok l h L H _ _ W1 El Eh (at_point_ok k lo a Hk Ea)). assert (A2 := between_ok l h L H _ _ W2 El Eh (at_point_ok k hi b Hk Eb)).
    apply orb_true_iff in Mo. destruct Mo as [Mo | Mo].
    + assert (Inc := increasing (derivative k e) (derivative (S k) e) a b (fun q Hq => proj1 (Dv q Hq)) (fun q Hq => nonneg_ok _ _ Mo (proj2 (Dv q Hq)))).
      assert (I1 := Inc a t ltac:(lra) ltac:(lra) ltac:(lra)). assert (I2 := Inc t b ltac:(lra) ltac:(lra) ltac:(lra)). lra.
    + assert (Inc := increasing (fun q => - derivative k e q) (fun q => - derivative (S k) e q) a b
        (fun q Hq => is_derive_opp _ _ _ (proj1 (Dv q Hq))) (fun q Hq => nonneg_ok _ _ Mo (has_neg _ _ (proj2 (Dv q Hq))))).
      assert (I1 := Inc a t ltac:(lra) ltac:(lra) ltac:(lra)). assert (I2 := Inc t b ltac:(lra) ltac:(lra) ltac:(lra)). cbv beta in I1, I2. lra.
  - destruct (between l h _) eqn:B2 in Hw; [| now apply Halves]. split; [exact Gt |]. eapply between_ok; [exact B2 | exact El | exact Eh |].
    apply near_middle_ok with (X := derivative k e) (X1 := derivative (S k) e) (a := a) (b := b) (m := c); auto.
    + now apply at_point_ok.
    + apply has_sub; [now apply has_box with a b | now apply has_point].
Qed.

(** A line s t + i within `err` of derivative k on an interval. *)
Variable k : nat.
Hypothesis Hk : (k < 2)%nat.

Definition on_point (x : F.type) : I.type * I.type * I.type :=
  match enclose prec e (point x) with Some i => from k i | None => (I.nai, I.nai, I.nai) end.
Definition off (s i : I.type) (x : F.type) (a : I.type) : F.type := I.upper (I.abs (I.sub prec (I.add prec (I.mul prec s (point x)) i) a)).
Definition tilt (s d : I.type) : F.type := I.upper (I.abs (I.sub prec s d)).

(* A few steps of Newton's towards where the slope is that of the line; any point will do. *)
Fixpoint newton (n : nat) (s : I.type) (x lo hi : F.type) : F.type :=
  match n with
  | O => x
  | S n =>
      let '(_, d, c) := on_point x in
      let y := I.midpoint (I.sub prec (point x) (I.div prec (I.sub prec d s) c)) in
      if F.real y then
        let y := if leb y lo then lo else if leb hi y then hi else y in
        match F.cmp x y with Xeq => x | _ => newton n s y lo hi end
      else x
  end.

Fixpoint near_line (fuel : nat) (s i : I.type) (err : F.type) (lo hi : F.type) : bool :=
  match fuel with
  | O => false
  | S fuel =>
      match middle lo hi with
      | None => false
      | Some mid =>
          let halves := near_line fuel s i err lo mid && near_line fuel s i err mid hi in
          match enclose prec e (I.bnd lo hi) with
          | None => halves
          | Some four =>
              let width := F.sub_UP prec hi lo in
              let '(_, d, c) := from k four in
              let '(a, _, _) := on_point mid in
              if leb (F.add_UP prec (off s i mid a) (F.mul_UP prec (tilt s d) width)) err then true
              else if negb (leb (off s i mid a) err) then false
              else if nonneg c || nonneg (I.neg c) then
                let m := newton 5 s mid lo hi in
                let '(al, _, _) := on_point lo in let '(ah, _, _) := on_point hi in let '(am, dm, _) := on_point m in
                if F.real m && leb lo m && leb m hi && leb (off s i lo al) err && leb (off s i hi ah) err
                   && leb (F.add_UP prec (off s i m am) (F.mul_UP prec (tilt s dm) width)) err then true else halves
              else halves
          end
      end
  end.

Variables (S0 I0 : R).
Notation f := (derivative k e).
Notation f1 := (derivative (S k) e).
Notation f2 := (derivative (S (S k)) e).
Notation h t := (S0 * t + I0 - f t).

Lemma on_point_ok x q : F.toX x = Xreal q -> let '(a, d, c) := on_point x in has a (f q) /\ has d (f1 q).
Proof.
  intros Ex. unfold on_point. assert (K := enclose_ok prec e (point x) q (has_point x q Ex)).
  destruct (enclose prec e (point x)) as [i |]; [| split; apply has_nai]. destruct (K _ eq_refl) as [_ H].
  assert (K' := from_ok k i q ltac:(lia) H). destruct (from k i) as [[a b] c]. split; [apply K' | apply K'; lia].
Qed.

Lemma off_ok s i x q a : has s S0 -> has i I0 -> F.toX x = Xreal q -> has a (f q) -> U (Rabs (h q)) (off s i x a).
Proof.
  intros Hs Hi Ex Ha. apply U_upper, has_abs, has_sub; auto. apply has_add; auto. apply has_mul; auto. now apply has_point.
Qed.

Lemma tilt_ok s d q : has s S0 -> has d (f1 q) -> U (Rabs (S0 - f1 q)) (tilt s d).
Proof. intros Hs Hd. now apply U_upper, has_abs, has_sub. Qed.

Lemma width_ok lo hi a b : F.toX lo = Xreal a -> F.toX hi = Xreal b -> U (b - a) (F.sub_UP prec hi lo).
Proof.
  intros Ea Eb. destruct (F.sub_UP_correct prec hi lo) as [V H].
  - rewrite F.valid_ub_correct, (toX_classify _ _ Eb). reflexivity.
  - rewrite F.valid_lb_correct, (toX_classify _ _ Ea). reflexivity.
  - split; auto. now rewrite Ea, Eb in H.
Qed.

Lemma near_line_ok s i err E : F.toX err = Xreal E -> has s S0 -> has i I0 -> forall fuel lo hi a b,
  near_line fuel s i err lo hi = true -> F.toX lo = Xreal a -> F.toX hi = Xreal b -> forall t, a <= t <= b -> Rabs (h t) <= E.
Proof.
  intros Ee Hs Hi. induction fuel as [| fuel IH]; intros lo hi a b H Ea Eb t Ht; cbn [near_line] in H; [discriminate |].
  destruct (middle lo hi) as [mid |] eqn:Em; [| discriminate]. destruct (middle_ok lo hi mid a b Em Ea Eb) as (c & Ec & Hc).
  assert (Halves : near_line fuel s i err lo mid && near_line fuel s i err mid hi = true -> Rabs (h t) <= E).
  { intros B. apply andb_true_iff in B. destruct B as [B1 B2]. destruct (Rle_dec t c).
    - apply (IH lo mid a c B1 Ea Ec). lra.
    - apply (IH mid hi c b B2 Ec Eb). lra. }
  assert (On := fun t Ht => enclose_ok prec e (I.bnd lo hi) t (has_box lo hi a b t Ea Eb Ht)).
  destruct (enclose prec e (I.bnd lo hi)) as [four |]; [| now apply Halves].
  assert (On' : forall t, a <= t <= b -> good e t /\ let '(x, x1, x2) := from k four in has x (f t) /\ has x1 (f1 t) /\ has x2 (f2 t)).
  { intros q Hq. destruct (On q Hq _ eq_refl) as [G H4]. split; [exact G |]. assert (K := from_ok k four q ltac:(lia) H4).
    destruct (from k four) as [[x x1] x2]. destruct K as (K0 & K1 & K2). split; [exact K0 | split; [apply K1 | apply K2]; lia]. }
  clear On. destruct (from k four) as [[x x1] x2].
  assert (D1 : forall q, a <= q <= b -> is_derive f q (f1 q)) by (intros q Hq; apply derivative_derive; [lia | now apply On']).
  assert (D2 : forall q, a <= q <= b -> is_derive f1 q (f2 q)) by (intros q Hq; apply derivative_derive; [lia | now apply On']).
  assert (Dh : forall q, a <= q <= b -> is_derive (fun t => h t) q (S0 - f1 q)).
  { intros q Hq. apply (is_derive_minus (fun t => S0 * t + I0) f); auto. auto_derive; [exact I | ring]. }
  assert (W := width_ok lo hi a b Ea Eb). assert (Pw : 0 <= b - a) by lra.
  assert (Pm := on_point_ok mid c Ec). destruct (on_point mid) as [[am dm] cm]. destruct Pm as [Pm _].
  destruct (leb (F.add_UP prec (off s i mid am) (F.mul_UP prec (tilt s x1) (F.sub_UP prec hi lo))) err) eqn:Q1.
  - destruct (mvt_any (fun t => h t) (fun t => S0 - f1 t) a b Dh c t Hc Ht) as (y & Hy & Ey).
    destruct (On' y Hy) as (_ & _ & Ky & _).
    assert (A := U_real _ _ _ Ee (leb_U _ _ _ Q1 (U_add prec _ _ _ _ (off_ok s i _ c _ Hs Hi Ec Pm)
      (U_mul prec _ _ _ _ (Rabs_pos _) Pw (tilt_ok s x1 y Hs Ky) W)))).
    replace (h t) with (h c + (h t - h c)) by ring. rewrite Ey. eapply Rle_trans. apply Rabs_triang. eapply Rle_trans; [| exact A].
    apply Rplus_le_compat_l. rewrite Rabs_mult. apply Rmult_le_compat_l. apply Rabs_pos. apply Rabs_le. lra.
  - destruct (negb (leb (off s i mid am) err)); [discriminate |].
    destruct (nonneg x2 || nonneg (I.neg x2)) eqn:Bd; [| now apply Halves].
    set (m := newton 5 s mid lo hi) in *.
    assert (Pl := on_point_ok lo a Ea). destruct (on_point lo) as [[al dl] cl0]. destruct Pl as [Pl _].
    assert (Ph := on_point_ok hi b Eb). destruct (on_point hi) as [[ah dh] ch]. destruct Ph as [Ph _].
    assert (PM := fun q Eq => on_point_ok m q Eq). destruct (on_point m) as [[amm dmm] cmm].
    destruct (F.real m && leb lo m && leb m hi && leb (off s i lo al) err && leb (off s i hi ah) err
           && leb (F.add_UP prec (off s i m amm) (F.mul_UP prec (tilt s dmm) (F.sub_UP prec hi lo))) err) eqn:Q2; [| now apply Halves].
    rewrite !andb_true_iff in Q2. destruct Q2 as [[[[[Rm L1] L2] Q2] Q3] Q4].
    destruct (classify_toX m (real_classify _ Rm)) as [y Ey]. destruct (PM y Ey) as [Py Dy].
    assert (a <= y) by now apply (leb_le _ _ _ _ L1). assert (y <= b) by now apply (leb_le _ _ _ _ L2).
    assert (A1 := U_real _ _ _ Ee (leb_U _ _ _ Q2 (off_ok s i lo a _ Hs Hi Ea Pl))).
    assert (A2 := U_real _ _ _ Ee (leb_U _ _ _ Q3 (off_ok s i hi b _ Hs Hi Eb Ph))).
    assert (A3 := U_real _ _ _ Ee (leb_U _ _ _ Q4 (U_add prec _ _ _ _ (off_ok s i m y _ Hs Hi Ey Py)
      (U_mul prec _ _ _ _ (Rabs_pos _) Pw (tilt_ok s dmm y Hs Dy) W)))).
    assert (Slope : Rabs ((S0 - f1 y) * (t - y)) <= Rabs (S0 - f1 y) * (b - a)).
    { rewrite Rabs_mult. apply Rmult_le_compat_l. apply Rabs_pos. apply Rabs_le. lra. }
    apply Rabs_le_inv in A1, A2. assert (A3' := Rabs_le_inv _ _ (Rle_refl (Rabs (h y)))). apply Rabs_le_inv in Slope.
    apply orb_true_iff in Bd. apply Rabs_le. destruct Bd as [Bd | Bd].
    + (* f is convex: f minus the line is above its tangents *)
      assert (Mon : forall p q, a <= p -> p <= q -> q <= b -> f1 p <= f1 q).
      { apply (increasing f1 f2 a b D2). intros q Hq. destruct (On' q Hq) as (_ & _ & _ & K). now apply nonneg_ok with x2. }
      assert (Dv : forall r, a <= r <= b -> is_derive (fun t => - h t) r (- (S0 - f1 r))) by (intros; now apply (is_derive_opp (fun t => h t)), Dh).
      assert (Mn : forall p q, a <= p -> p <= q -> q <= b -> - (S0 - f1 p) <= - (S0 - f1 q)) by (intros p q P1 P2 P3; generalize (Mon p q P1 P2 P3); lra).
      assert (T1 := bend_above (fun t => - h t) (fun t => - (S0 - f1 t)) a b Dv Mn y t ltac:(lra) Ht).
      assert (T2 := bend_below (fun t => - h t) (fun t => - (S0 - f1 t)) a b Dv Mn t Ht). cbv beta in T1, T2.
      assert (Rmax (- h a) (- h b) <= E) by (apply Rmax_lub; lra). split; lra.
    + assert (Mon : forall p q, a <= p -> p <= q -> q <= b -> - f1 p <= - f1 q).
      { apply (increasing (fun t => - f1 t) (fun t => - f2 t) a b). intros; now apply (is_derive_opp f1), D2.
        intros q Hq. destruct (On' q Hq) as (_ & _ & _ & K). apply nonneg_ok with (I.neg x2); auto. now apply has_neg. }
      assert (Mn : forall p q, a <= p -> p <= q -> q <= b -> S0 - f1 p <= S0 - f1 q) by (intros p q P1 P2 P3; generalize (Mon p q P1 P2 P3); lra).
      assert (T1 := bend_above (fun t => h t) (fun t => S0 - f1 t) a b Dh Mn y t ltac:(lra) Ht).
      assert (T2 := bend_below (fun t => h t) (fun t => S0 - f1 t) a b Dh Mn t Ht). cbv beta in T1, T2.
      assert (Rmax (h a) (h b) <= E) by (apply Rmax_lub; lra). split; lra.
Qed.

End Check.
End Fits.
