(* Functions of one real variable: what a bound on a derivative says on an interval around 0, or on any interval. *)
From Coq Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From ICGD Require Import vectors.
Open Scope R_scope.

(** On lo <= t <= hi. *)
Section Interval.
Variables (h h1 : R -> R) (lo hi : R).
Hypothesis D : forall t, lo <= t <= hi -> is_derive h t (h1 t).

Lemma mvt a b : lo <= a -> a <= b -> b <= hi -> exists c, a <= c <= b /\ h b - h a = h1 c * (b - a).
Proof.
  intros Ha Hab Hb. destruct (MVT_gen h a b h1) as (c & Hc & E).
  - intros t Ht. rewrite Rmin_left, Rmax_right in Ht by auto. apply D. lra.
  - intros t Ht. rewrite Rmin_left, Rmax_right in Ht by auto. apply derivable_continuous_pt. exists (h1 t). apply is_derive_Reals, D. lra.
  - rewrite Rmin_left, Rmax_right in Hc by auto. eauto.
Qed.

Lemma mvt_any a b : lo <= a <= hi -> lo <= b <= hi -> exists c, lo <= c <= hi /\ h b - h a = h1 c * (b - a).
Proof.
  intros Ha Hb. destruct (Rle_dec a b) as [L | L].
  - destruct (mvt a b) as (c & Hc & E); try lra. exists c. split; [lra | exact E].
  - destruct (mvt b a) as (c & Hc & E); try lra. exists c. split; lra.
Qed.

Lemma increasing : (forall t, lo <= t <= hi -> 0 <= h1 t) -> forall s t, lo <= s -> s <= t -> t <= hi -> h s <= h t.
Proof. intros P s t Hs Hst Ht. destruct (mvt s t) as (c & Hc & E); auto. assert (0 <= h1 c) by (apply P; lra). nra. Qed.

(** A function of one bend is above its tangents and below its ends. *)
Hypothesis M : forall s t, lo <= s -> s <= t -> t <= hi -> h1 s <= h1 t.

Lemma bend_above m t : lo <= m <= hi -> lo <= t <= hi -> h m + h1 m * (t - m) <= h t.
Proof.
  intros Hm Ht. destruct (Rle_dec m t) as [L | L].
  - destruct (mvt m t) as (c & Hc & E); try lra. assert (h1 m <= h1 c) by (apply M; lra). nra.
  - destruct (mvt t m) as (c & Hc & E); try lra. assert (h1 c <= h1 m) by (apply M; lra). nra.
Qed.

Lemma bend_below t : lo <= t <= hi -> h t <= Rmax (h lo) (h hi).
Proof.
  intros Ht. destruct (mvt lo t) as (c1 & H1 & E1); try lra. destruct (mvt t hi) as (c2 & H2 & E2); try lra.
  assert (h1 c1 <= h1 c2) by (apply M; lra). destruct (Rle_dec (h1 c1) 0).
  - apply Rle_trans with (h lo); [nra | apply Rmax_l].
  - apply Rle_trans with (h hi); [nra | apply Rmax_r].
Qed.
End Interval.

(** On |t| <= reach. *)
Section Around.
Variables (f f1 : R -> R) (reach C : R).
Hypothesis D : forall t, Rabs t <= reach -> is_derive f t (f1 t).

Lemma lipschitz : (forall t, Rabs t <= reach -> Rabs (f1 t) <= C) ->
  forall a b, Rabs a <= reach -> Rabs b <= reach -> Rabs (f a - f b) <= C * Rabs (a - b).
Proof.
  intros HC a b Ha Hb. destruct (mvt_any f f1 (- reach) reach) with (a := b) (b := a) as (c & Hc & E).
  - intros t Ht. apply D. now apply Rabs_le.
  - now apply Rabs_le_inv.
  - now apply Rabs_le_inv.
  - rewrite E, Rabs_mult. apply Rmult_le_compat_r. apply Rabs_pos. now apply HC, Rabs_le.
Qed.

Hypothesis L : forall s t, Rabs s <= reach -> Rabs t <= reach -> Rabs (f1 s - f1 t) <= C * Rabs (s - t).

Lemma remainder a b : Rabs a <= reach -> Rabs b <= reach -> Rabs (f a - f b) <= (Rabs (f1 b) + C / 2 * Rabs (a - b)) * Rabs (a - b).
Proof.
  intros Ha Hb. apply Rabs_le_inv in Ha, Hb.
  assert (K : Rabs (f a - f b - f1 b * (a - b)) <= C / 2 * (a - b) ^ 2).
  { (* both ways of bounding: s (f - tangent) - C / 2 (t - b)^2 has a slope of the sign of b - t *)
    assert (Side : forall s, s = 1 \/ s = -1 -> s * (f a - f b - f1 b * (a - b)) - C / 2 * (a - b) ^ 2 <= 0).
    { intros s Hs. set (h := fun t => s * (f t - f b - f1 b * (t - b)) - C / 2 * (t - b) ^ 2).
      destruct (mvt_any h (fun t => s * (f1 t - f1 b) - C * (t - b)) (Rmin a b) (Rmax a b)) with (a := b) (b := a) as (c & Hc & E).
      - intros t Ht. unfold h. assert (Dt : is_derive f t (f1 t)).
        { apply D, Rabs_le. revert Ht. unfold Rmin, Rmax. destruct (Rle_dec a b); lra. }
        evar_last.
        + apply (is_derive_minus (fun t => s * (f t - f b - f1 b * (t - b))) (fun t => C / 2 * (t - b) ^ 2)).
          * apply (is_derive_scal (fun t => f t - f b - f1 b * (t - b)) t s).
            apply (is_derive_minus (fun t => f t - f b) (fun t => f1 b * (t - b))).
            -- apply (is_derive_minus f (fun _ => f b)); [exact Dt | apply is_derive_const].
            -- auto_derive; [exact I | reflexivity].
          * auto_derive; [exact I | reflexivity].
        + unfold minus, plus, opp, zero, scal; simpl. unfold mult; simpl. field.
      - split; [apply Rmin_r | apply Rmax_r].
      - split; [apply Rmin_l | apply Rmax_l].
      - replace (s * (f a - f b - f1 b * (a - b)) - C / 2 * (a - b) ^ 2) with (h a - h b) by (unfold h; ring).
        rewrite E. assert (Rc : Rabs c <= reach). { apply Rabs_le. revert Hc. unfold Rmin, Rmax. destruct (Rle_dec a b); lra. }
        assert (Lc := L c b Rc ltac:(now apply Rabs_le)). apply Rabs_le_inv in Lc. revert Hc Lc. unfold Rmin, Rmax.
        destruct (Rle_dec a b) as [O | O]; intros Hc; [rewrite (Rabs_left1 (c - b)) by lra | rewrite (Rabs_pos_eq (c - b)) by lra];
          intros Lc; destruct Hs as [-> | ->]; nra. }
    assert (S1 := Side 1 (or_introl eq_refl)). assert (S2 := Side (-1) (or_intror eq_refl)). apply Rabs_le. lra. }
  replace (f a - f b) with (f a - f b - f1 b * (a - b) + f1 b * (a - b)) by ring.
  eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult. rewrite <- (pow2_abs (a - b)) in K. lra.
Qed.
End Around.
