(* The local facts an instance is made of: sums of ReLUs with rational weights, their linear pieces,
   products as differences of squares, and activations with their derivatives. *)
From Coq Require Import Reals QArith Qreals List Bool Lra Lia Psatz.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Tactic.
From ICGD Require Import propagation.
Import ListNotations.
Open Scope R_scope.

(** Sums of ReLUs: constant + sum c relu(a t + b), every weight an exact rational. *)

Definition relu_sum (constant : Q) (units : list (Q * Q * Q)) (t : R) : R :=
  fold_right (fun u rest => let '(a, b, c) := u in Q2R c * Rmax 0 (Q2R a * t + Q2R b) + rest) (Q2R constant) units.

Fixpoint line (constant : Q) (units : list (Q * Q * Q)) (lo hi : Q) : option (Q * Q) :=
  match units with
  | [] => Some (0%Q, constant)
  | (a, b, c) :: rest =>
      match line constant rest lo hi with
      | None => None
      | Some (s, i) =>
          if Qle_bool 0 (a * lo + b) && Qle_bool 0 (a * hi + b) then Some (Qplus s (c * a), Qplus i (c * b))
          else if Qle_bool (a * lo + b) 0 && Qle_bool (a * hi + b) 0 then Some (s, i) else None
      end
  end.

Lemma between a b lo hi t : lo <= t <= hi -> 0 <= a * lo + b -> 0 <= a * hi + b -> 0 <= a * t + b.
Proof. intros. destruct (Rle_dec 0 a); nra. Qed.

Lemma Qle_R p q : Qle_bool p q = true -> Q2R p <= Q2R q.
Proof. intros H. now apply Qle_Rle, Qle_bool_iff. Qed.

Lemma line_ok constant units lo hi s i t :
  line constant units lo hi = Some (s, i) -> Q2R lo <= t <= Q2R hi -> relu_sum constant units t = Q2R s * t + Q2R i.
Proof.
  intros H Ht. revert s i H. induction units as [| [[a b] c] units IH]; cbn [line]; intros s i H.
  - injection H as <- <-. cbn. rewrite RMicromega.Q2R_0. ring.
  - destruct (line constant units lo hi) as [[s' i'] |]; [| discriminate].
    change (relu_sum constant ((a, b, c) :: units) t) with
      (Q2R c * Rmax 0 (Q2R a * t + Q2R b) + relu_sum constant units t).
    rewrite (IH s' i' eq_refl).
    destruct (Qle_bool 0 (a * lo + b) && Qle_bool 0 (a * hi + b)) eqn:E.
    + apply andb_true_iff in E. destruct E as [E1 E2]. apply Qle_R in E1, E2.
      rewrite Q2R_plus, Q2R_mult, RMicromega.Q2R_0 in E1, E2. injection H as <- <-.
      rewrite Rmax_right by (apply between with (Q2R lo) (Q2R hi); auto).
      rewrite !Q2R_plus, !Q2R_mult. ring.
    + destruct (Qle_bool (a * lo + b) 0 && Qle_bool (a * hi + b) 0) eqn:F; [| discriminate].
      apply andb_true_iff in F. destruct F as [E1 E2]. apply Qle_R in E1, E2.
      rewrite Q2R_plus, Q2R_mult, RMicromega.Q2R_0 in E1, E2. injection H as <- <-.
      rewrite Rmax_left. ring.
      assert (0 <= - Q2R a * t + - Q2R b); [| lra]. apply between with (Q2R lo) (Q2R hi); auto; lra.
Qed.

(* A piece: from, to, slope, intercept.  The line is within e of f there. *)
Definition piece : Set := (Q * Q * Q * Q)%type.

Definition near_on (f : R -> R) (e : Q) (a : piece) : Prop :=
  let '(lo, hi, s, i) := a in forall t, Q2R lo <= t <= Q2R hi -> Rabs (Q2R s * t + Q2R i - f t) <= Q2R e.

(* Whether the pieces follow one another from lo to hi, and are what the sum of ReLUs is there, exactly. *)
Fixpoint covers (constant : Q) (units : list (Q * Q * Q)) (lo hi : Q) (pieces : list piece) : bool :=
  match pieces with
  | [] => Qle_bool hi lo
  | (a, b, s, i) :: rest =>
      Qle_bool a lo && Qle_bool lo b && covers constant units b hi rest &&
      match line constant units a b with Some (s', i') => Qeq_bool s s' && Qeq_bool i i' | None => false end
  end.

Lemma covers_ok f e constant units hi pieces : forall lo t,
  covers constant units lo hi pieces = true -> List.Forall (near_on f e) pieces -> pieces <> [] ->
  Q2R lo <= t <= Q2R hi -> Rabs (relu_sum constant units t - f t) <= Q2R e.
Proof.
  induction pieces as [| [[[a b] s] i] pieces IH]; intros lo t H HF Hne Ht. now destruct Hne.
  cbn [covers] in H. rewrite !andb_true_iff in H. destruct H as [[[H1 H2] H3] H4].
  apply List.Forall_cons_iff in HF. destruct HF as [Hp HF].
  destruct (Rle_dec t (Q2R b)) as [Hb | Hb].
  - destruct (line constant units a b) as [[s' i'] |] eqn:E; [| discriminate].
    apply Qle_R in H1. apply andb_true_iff in H4. destruct H4 as [Hs Hi].
    rewrite (line_ok _ _ _ _ _ _ t E) by lra. rewrite <- (Qeq_eqR _ _ (Qeq_bool_eq _ _ Hs)), <- (Qeq_eqR _ _ (Qeq_bool_eq _ _ Hi)).
    apply Hp. lra.
  - destruct pieces as [| q pieces].
    + cbn in H3. apply Qle_R in H3. lra.
    + apply (IH b); auto. discriminate. lra.
Qed.

Definition close (f g : R -> R) (reach e : R) : Prop := forall t, Rabs t <= reach -> Rabs (f t - g t) <= e.

Lemma pieces_close f e constant units reach pieces :
  covers constant units (- reach) reach pieces = true -> pieces <> [] -> List.Forall (near_on f e) pieces ->
  close (relu_sum constant units) f (Q2R reach) (Q2R e).
Proof.
  intros H Hne HF t Ht. apply Rabs_le_inv in Ht. apply covers_ok with reach pieces (- reach)%Q; auto.
  rewrite Q2R_opp. lra.
Qed.

(** Products. *)

Definition square (t : R) : R := t * t.

Definition by_squares (centre a b : Q) (sq : R -> R) (x g : R) : R :=
  Q2R centre * g + (sq (Q2R a * (x - Q2R centre) + Q2R b * g) - sq (Q2R a * (x - Q2R centre) - Q2R b * g)) / 4.

Definition by_centre (centre : Q) (x g : R) : R := Q2R centre * g.

Lemma by_squares_ok centre a b sq reach e lo hi G spread x g :
  close sq square reach e -> 0 <= Q2R a -> 0 <= Q2R b ->
  Q2R centre - spread <= lo -> hi <= Q2R centre + spread -> Q2R a * spread + Q2R b * G <= reach ->
  lo <= x <= hi -> Rabs g <= G ->
  Rabs (by_squares centre a b sq x g - x * g) <= e / 2 + Rabs (Q2R a * Q2R b - 1) * (spread * G).
Proof.
  intros Hs Ha Hb Hlo Hhi Hr Hx Hg. unfold by_squares.
  set (c := Q2R centre) in *. set (A := Q2R a) in *. set (B := Q2R b) in *.
  assert (Hd : Rabs (x - c) <= spread) by (apply Rabs_le; lra).
  assert (Hsp := Rabs_pos (x - c)). assert (HG := Rabs_pos g).
  assert (H1 : Rabs (A * (x - c)) <= A * spread).
  { rewrite Rabs_mult, (Rabs_pos_eq A) by auto. now apply Rmult_le_compat_l. }
  assert (H2 : Rabs (B * g) <= B * G).
  { rewrite Rabs_mult, (Rabs_pos_eq B) by auto. now apply Rmult_le_compat_l. }
  assert (P1 := Hs (A * (x - c) + B * g)). assert (P2 := Hs (A * (x - c) - B * g)). unfold square in *.
  specialize (P1 ltac:(eapply Rle_trans; [apply Rabs_sum2; eassumption | lra])).
  specialize (P2 ltac:(eapply Rle_trans; [apply Rabs_sum2; [eassumption | rewrite Rabs_Ropp; eassumption] | lra])).
  set (u := A * (x - c) + B * g) in *. set (v := A * (x - c) - B * g) in *.
  replace (c * g + (sq u - sq v) / 4 - x * g) with
    (((sq u - u * u) / 4 + - ((sq v - v * v) / 4)) + (A * B - 1) * ((x - c) * g)) by (unfold u, v; field).
  apply Rabs_sum2.
  - apply Rabs_le_inv in P1, P2. apply Rabs_le. lra.
  - rewrite Rabs_mult. apply Rmult_le_compat_l. apply Rabs_pos. rewrite Rabs_mult. now apply Rmult_le_compat.
Qed.

Lemma by_centre_ok centre lo hi G spread x g :
  Q2R centre - spread <= lo -> hi <= Q2R centre + spread -> lo <= x <= hi -> Rabs g <= G ->
  Rabs (by_centre centre x g - x * g) <= spread * G.
Proof.
  intros Hlo Hhi Hx Hg. unfold by_centre. replace (Q2R centre * g - x * g) with ((Q2R centre - x) * g) by ring.
  rewrite Rabs_mult. apply Rmult_le_compat; auto using Rabs_pos. apply Rabs_le. lra.
Qed.

(* A line near the square: both ends, and the vertex of the difference. *)
Definition near_square (e : Q) (a : piece) : bool :=
  let '(lo, hi, s, i) := a in
  Qle_bool (lo * lo) (s * lo + i + e) && Qle_bool (hi * hi) (s * hi + i + e) && Qle_bool (s * s + 4 * i) (4 * e).

Lemma near_square_ok e a : near_square e a = true -> near_on square e a.
Proof.
  destruct a as [[[lo hi] s] i]. unfold near_square, near_on, square. rewrite !andb_true_iff.
  intros [[H1 H2] H3] t Ht. apply Qle_R in H1, H2, H3.
  rewrite ?Q2R_plus, ?Q2R_mult in *. replace (Q2R 4) with 4 in H3 by (unfold Q2R; simpl; lra).
  set (l := Q2R lo) in *. set (h := Q2R hi) in *. set (u := Q2R s) in *. set (v := Q2R i) in *. set (E := Q2R e) in *.
  apply Rabs_le. split.
  - assert ((t - l) * (t - h) <= 0) by nra. destruct (Rle_dec u (l + h)); nra.
  - generalize (pow2_ge_0 (t - u / 2)). nra.
Qed.

(** Activations: r, r', r''. *)

Lemma lipschitz f f' reach C :
  (forall t, is_derive f t (f' t)) -> (forall t, Rabs t <= reach -> Rabs (f' t) <= C) ->
  forall a b, Rabs a <= reach -> Rabs b <= reach -> Rabs (f a - f b) <= C * Rabs (a - b).
Proof.
  intros Hd HC a b Ha Hb. destruct (MVT_gen f b a f') as (t & Ht & E).
  - auto.
  - intros. apply derivable_continuous_pt. exists (f' x). now apply is_derive_Reals.
  - rewrite E, Rabs_mult. apply Rmult_le_compat_r. apply Rabs_pos. apply HC.
    apply Rabs_le_inv in Ha, Hb. apply Rabs_le. generalize Ht. unfold Rmin, Rmax. destruct (Rle_dec b a); lra.
Qed.

Definition tanh0 t := 1 - 2 / (exp (2 * t) + 1).
Definition tanh1 t := 1 - tanh0 t * tanh0 t.
Definition tanh2 t := - 2 * tanh0 t * tanh1 t.
Definition sigmoid0 t := 1 / (1 + exp (- t)).
Definition sigmoid1 t := sigmoid0 t * (1 - sigmoid0 t).
Definition sigmoid2 t := sigmoid1 t * (1 - 2 * sigmoid0 t).
Definition softplus0 t := ln (1 + exp t).
Definition softplus1 := sigmoid0.
Definition softplus2 := sigmoid1.
Definition sin0 := sin.
Definition sin1 := cos.
Definition sin2 t := - sin t.
Definition identity0 (t : R) := t.
Definition identity1 (t : R) := 1.
Definition identity2 (t : R) := 0.

(* tanh0 is the library's tanh. *)
Lemma tanh0_tanh t : tanh0 t = tanh t.
Proof.
  unfold tanh0, tanh, sinh, cosh. replace (2 * t) with (t + t) by ring. rewrite exp_plus, exp_Ropp.
  generalize (exp_pos t). intros. field. split; nra.
Qed.

Lemma tanh01 t : is_derive tanh0 t (tanh1 t).
Proof.
  generalize (exp_pos (2 * t)). intros. unfold tanh1, tanh0. auto_derive. lra. field. lra.
Qed.

Lemma tanh12 t : is_derive tanh1 t (tanh2 t).
Proof.
  unfold tanh1. evar_last. apply (is_derive_minus (fun _ => 1) (fun t => tanh0 t * tanh0 t)).
  apply is_derive_const. apply (is_derive_mult tanh0 tanh0); try apply tanh01. intros; apply Rmult_comm.
  unfold tanh2, minus, plus, mult, opp, zero; simpl. ring.
Qed.

Lemma sigmoid01 t : is_derive sigmoid0 t (sigmoid1 t).
Proof.
  generalize (exp_pos (- t)). intros. unfold sigmoid1, sigmoid0. auto_derive. lra. field. lra.
Qed.

Lemma sigmoid12 t : is_derive sigmoid1 t (sigmoid2 t).
Proof.
  generalize (exp_pos (- t)). intros. unfold sigmoid2, sigmoid1, sigmoid0. auto_derive. repeat split; lra. field. lra.
Qed.

Lemma softplus01 t : is_derive softplus0 t (softplus1 t).
Proof.
  generalize (exp_pos t). intros. unfold softplus1, softplus0, sigmoid0. rewrite exp_Ropp. auto_derive. lra. field. lra.
Qed.

Definition softplus12 : forall t, is_derive softplus1 t (softplus2 t) := sigmoid01.

Lemma sin01 t : is_derive sin0 t (sin1 t).
Proof. unfold sin0, sin1. auto_derive. auto. ring. Qed.

Lemma sin12 t : is_derive sin1 t (sin2 t).
Proof. unfold sin1, sin2. auto_derive. auto. ring. Qed.

Lemma identity01 t : is_derive identity0 t (identity1 t).
Proof. unfold identity0, identity1. auto_derive. auto. ring. Qed.

Lemma identity12 t : is_derive identity1 t (identity2 t).
Proof. unfold identity1, identity2. auto_derive. auto. ring. Qed.

(** The loss slope: u = squared (p - y). *)

Definition squared (t : R) : R := 2 * t.

Lemma squared_ok : squared 0 = 0 /\ forall a b, Rabs (squared a - squared b) <= 2 * Rabs (a - b).
Proof.
  split. unfold squared; ring. intros. unfold squared. replace (2 * a - 2 * b) with (2 * (a - b)) by ring.
  rewrite Rabs_mult, Rabs_pos_eq; lra.
Qed.

(** Tactics of an instance. *)

Ltac functions :=
  cbv beta delta [tanh2 tanh1 tanh0 softplus0 softplus1 softplus2 sigmoid2 sigmoid1 sigmoid0 sin0 sin1 sin2
    identity0 identity1 identity2 square].

(* One linear piece. *)
Ltac linear_piece :=
  intros t H; functions; cbv [Q2R Qnum Qden] in *;
  first [ interval with (i_bisect t, i_taylor t, i_degree 3, i_prec 60) | apply Rabs_le; lra | interval with (i_bisect t, i_taylor t, i_prec 90) ].

Ltac square_piece := apply near_square_ok; vm_compute; reflexivity.

(* A bound on the values of a function, for |t| <= a number. *)
Ltac value t Ht :=
  apply Rabs_le_inv in Ht; functions;
  first [ lra | apply Rabs_le; lra | interval with (i_bisect t, i_prec 60)
        | interval with (i_bisect t, i_taylor t, i_depth 30, i_prec 60) ].

Ltac derivative :=
  first [ apply tanh01 | apply tanh12 | apply sigmoid01 | apply sigmoid12 | apply softplus01 | apply softplus12
        | apply sin01 | apply sin12 | apply identity01 | apply identity12 ].

Ltac size := rewrite INR_IZR_INZ; cbn [Z.of_nat Pos.of_succ_nat Pos.succ].

Ltac of_rationals := cbv [Q2R Qnum Qden].

(* The sum of ReLUs has a lemma with this reach and error; or it is the function itself. *)
Ltac by_lemma fit reach error :=
  eapply Rle_trans; [apply fit; cbv delta [reach]; of_rationals; lra | cbv delta [error]; of_rationals; lra].

Ltac by_itself := apply Rabs_zero; [reflexivity | lra].

Ltac by_square_lemma spread fit reach error :=
  eapply Rle_trans;
  [ eapply (by_squares_ok _ _ _ _ _ _ _ _ _ spread _ _ fit); [.. | eassumption | eassumption];
    cbv delta [reach]; of_rationals; lra
  | cbv delta [error]; of_rationals; unfold Rabs; destruct (Rcase_abs _); lra ].

Ltac by_centre_lemma spread :=
  eapply Rle_trans; [eapply (by_centre_ok _ _ _ _ spread); [.. | eassumption | eassumption]; of_rationals; lra | lra].
