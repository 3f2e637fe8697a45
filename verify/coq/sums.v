(* Sums of ReLUs with rational weights, and products as differences of squares. *)
From Coq Require Import Reals QArith Qreals List Lra Psatz.
From ICGD Require Import vectors.
Import ListNotations.
Open Scope R_scope.

(* constant + sum c relu(a t + b), every unit as (a, b, c) *)
Definition relu_sum (constant : Q) (units : list (Q * Q * Q)) (t : R) : R :=
  fold_right (fun u rest => let '(a, b, c) := u in Q2R c * Rmax 0 (Q2R a * t + Q2R b) + rest) (Q2R constant) units.

Definition close (f g : R -> R) (reach e : R) : Prop := forall t, Rabs t <= reach -> Rabs (f t - g t) <= e.

Lemma Qle_R p q : Qle_bool p q = true -> Q2R p <= Q2R q.
Proof. intros H. now apply Qle_Rle, Qle_bool_iff. Qed.

Definition square (t : R) : R := t * t.

(* x g = centre g + ((a (x - centre) + b g)^2 - (a (x - centre) - b g)^2) / 4 where a b = 1; sq approximates the square. *)
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

