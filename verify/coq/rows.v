(* What a row of a table says of the units of a layer, on average. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval.
From ICGD Require Import vectors up cells.
Import ListNotations.
Open Scope R_scope.

Module Rows (F : FloatOps).
Module Import C := Cells F.
Import C.B.

Lemma U_real x f q : F.toX f = Xreal q -> U x f -> x <= q.
Proof. intros E [_ H]. rewrite E in H. exact H. Qed.

Lemma U_of_real x f q : F.toX f = Xreal q -> x <= q -> U x f.
Proof. intros E H. split. rewrite F.valid_ub_correct, (toX_classify _ _ E). reflexivity. rewrite E. exact H. Qed.

Lemma U_of_nan x y f : F.toX f = Xnan -> U y f -> U x f.
Proof. intros E [V H]. split; auto. rewrite E. exact I. Qed.

Lemma U_mean n f h : (0 < n)%nat -> (forall k, (k < n)%nat -> U (f k) h) -> U (sum n f / INR n) h.
Proof.
  intros Hn H. assert (Pn : 0 < INR n) by now apply lt_0_INR.
  destruct (F.toX h) as [| q] eqn:E.
  - apply U_of_nan with (f 0%nat); auto.
  - apply U_of_real with q; auto. apply Rle_trans with (sum n (fun _ => q) / INR n).
    + apply Rmult_le_compat_r. left; now apply Rinv_0_lt_compat. apply sum_le. intros k Hk. apply U_real with h; auto.
    + rewrite sum_const. right. field. lra.
Qed.

Lemma U_rms n f h : (0 < n)%nat -> (forall k, (k < n)%nat -> U (Rabs (f k)) h) -> U (norm n f / sr n) h.
Proof.
  intros Hn H. assert (Pn : 0 < sr n) by (apply sqrt_lt_R0; now apply lt_0_INR).
  destruct (F.toX h) as [| q] eqn:E.
  - apply U_of_nan with (Rabs (f 0%nat)); auto.
  - apply U_of_real with q; auto.
    assert (Hq : forall k, (k < n)%nat -> Rabs (f k) <= q) by (intros; apply U_real with h; auto).
    assert (norm n f <= sr n * q) by (apply norm_sr; auto; apply Rle_trans with (Rabs (f 0%nat)); auto using Rabs_pos).
    apply Rmult_le_reg_r with (sr n); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra.
Qed.

Lemma Lo_rms n f h : (0 < n)%nat -> (forall k, (k < n)%nat -> Lo (Rabs (f k)) h) -> Lo (norm n f / sr n) h.
Proof.
  intros Hn H. assert (Pn : 0 < sr n) by (apply sqrt_lt_R0; now apply lt_0_INR).
  destruct (H 0%nat Hn) as [V _]. split; auto. unfold le_lower.
  destruct (F.toX h) as [| q] eqn:E; simpl; auto. apply Ropp_le_contravar.
  assert (Hq : forall k, (k < n)%nat -> q <= Rabs (f k)).
  { intros k Hk. destruct (H k Hk) as [_ B]. unfold le_lower in B. rewrite E in B. simpl in B. lra. }
  apply Rmult_le_reg_r with (sr n); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  destruct (Rle_dec q 0). { apply Rle_trans with 0. nra. apply norm_nonneg. }
  apply le_sqrt. apply sum_sq_nonneg. rewrite Rpow_mult_distr, sr_sq, Rmult_comm, <- sum_const.
  apply sum_le. intros k Hk. rewrite <- (pow2_abs (f k)). apply pow_incr. split. lra. auto.
Qed.

Definition lines_ok (x r : R) (hs : lines) : Prop :=
  (forall m h, In (m, h) (up hs) -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (x - q * r ^ 2) h) /\
  (forall m h, In (m, h) (dn hs) -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (x + q * r ^ 2) h).

Lemma average_ok prec n x r hs low2 high2 :
  (0 < n)%nat -> (forall k, (k < n)%nat -> lines_ok (x k) (r k) hs) ->
  Lo (sum n (fun k => r k ^ 2) / INR n) low2 -> U (sum n (fun k => r k ^ 2) / INR n) high2 ->
  U (sum n x / INR n) (average prec hs low2 high2).
Proof.
  intros Hn H HL HU. assert (Pn : 0 < INR n) by now apply lt_0_INR.
  set (M := sum n x / INR n) in *. set (S := sum n (fun k => r k ^ 2) / INR n) in *.
  assert (PS : 0 <= S). { apply Rmult_le_pos. apply sum_nonneg. intros; apply pow2_ge_0. left; now apply Rinv_0_lt_compat. }
  assert (Split : forall q, sum n (fun k => x k + q * r k ^ 2) / INR n = M + q * S).
  { intros q. unfold M, S. rewrite sum_plus, sum_scal. field. lra. }
  assert (Hup : forall m h, In (m, h) (up hs) -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (M - q * S) h).
  { intros m h Hin. destruct (proj1 (H 0%nat Hn) m h Hin) as (q & Eq & Pq & _). exists q. split; [auto | split; [auto |]].
    replace (M - q * S) with (M + (- q) * S) by ring. rewrite <- Split. apply U_mean; auto. intros k Hk.
    destruct (proj1 (H k Hk) m h Hin) as (q' & Eq' & _ & B). replace q' with q in * by congruence.
    replace (x k + - q * r k ^ 2) with (x k - q * r k ^ 2) by ring. apply B. }
  assert (Hdn : forall m h, In (m, h) (dn hs) -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (M + q * S) h).
  { intros m h Hin. destruct (proj2 (H 0%nat Hn) m h Hin) as (q & Eq & Pq & _). exists q. split; [auto | split; [auto |]].
    rewrite <- Split. apply U_mean; auto. intros k Hk.
    destruct (proj2 (H k Hk) m h Hin) as (q' & Eq' & _ & B). now replace q' with q in * by congruence. }
  unfold average. clear - Hup Hdn PS HL HU.
  assert (A : forall l best, (forall m h, In (m, h) l -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (M - q * S) h) -> U M best ->
    U M (fold_left (fun best '(m, h) => mn best (add prec h (mul prec m high2))) l best)).
  { induction l as [| [m h] l IH]; intros best Hl Hb; simpl; auto. apply IH. { intros; apply Hl; simpl; auto. }
    apply U_mn; auto. destruct (Hl m h (or_introl eq_refl)) as (q & Eq & Pq & B).
    replace M with (M - q * S + q * S) by ring. apply U_more with (m := q); auto. }
  assert (D : forall l best, (forall m h, In (m, h) l -> exists q, F.toX m = Xreal q /\ 0 <= q /\ U (M + q * S) h) -> U M best ->
    U M (fold_left (fun best '(m, h) => mn best (less prec h m low2)) l best)).
  { induction l as [| [m h] l IH]; intros best Hl Hb; simpl; auto. apply IH. { intros; apply Hl; simpl; auto. }
    apply U_mn; auto. destruct (Hl m h (or_introl eq_refl)) as (q & Eq & Pq & B).
    replace M with (M + q * S - q * S) by ring. apply U_less with (m := q); auto. }
  apply D; auto. apply A; auto. apply U_nan.
Qed.

Definition joint_ok (a b r : R) (hs : list (F.type * lines)) : Prop :=
  forall u l, In (u, l) hs -> exists v, F.toX u = Xreal v /\ 0 <= v /\ forall y, lines_ok ((a + b * y) ^ 2 - v * y ^ 2) r l.

Lemma joint_norm prec n a b r y hs size low2 high2 y2 :
  (0 < n)%nat -> (forall k, (k < n)%nat -> joint_ok (a k) (b k) (r k) hs) -> U (INR n) size ->
  Lo (sum n (fun k => r k ^ 2) / INR n) low2 -> U (sum n (fun k => r k ^ 2) / INR n) high2 -> U (sum n (fun k => y k ^ 2)) y2 ->
  U (norm n (fun k => a k + b k * y k)) (joint prec hs size low2 high2 y2).
Proof.
  intros Hn H Hs HL HU Hy. assert (Pn : 0 < INR n) by now apply lt_0_INR. unfold joint, norm. apply U_root.
  assert (All : forall u l, In (u, l) hs -> U (sum n (fun k => (a k + b k * y k) ^ 2)) (add prec (mul prec size (average prec l low2 high2)) (mul prec u y2))).
  { intros u l Hin. destruct (H 0%nat Hn u l Hin) as (v & Ev & Pv & _).
    assert (K : forall w, U (sum n (fun k => (a k + b k * w k) ^ 2 - v * w k ^ 2) / INR n) (average prec l low2 high2)).
    { intros w. apply average_ok with (r := r); auto. intros k Hk. destruct (H k Hk u l Hin) as (v' & Ev' & _ & K).
      replace v' with v in * by congruence. apply K. }
    assert (K0 := K (fun _ => 0)). assert (Ky := K y). set (f := average prec l low2 high2) in *.
    assert (P0 : 0 <= sum n (fun k => (a k + b k * 0) ^ 2 - v * 0 ^ 2) / INR n).
    { apply Rmult_le_pos. apply sum_nonneg. intros. assert (0 <= (a k + b k * 0) ^ 2) by apply pow2_ge_0. lra. left; now apply Rinv_0_lt_compat. }
    set (m := Rmax (sum n (fun k => (a k + b k * 0) ^ 2 - v * 0 ^ 2) / INR n) (sum n (fun k => (a k + b k * y k) ^ 2 - v * y k ^ 2) / INR n)).
    assert (Pm : 0 <= m) by (eapply Rle_trans; [exact P0 | apply Rmax_l]). assert (Um : U m f) by (unfold m, Rmax; destruct (Rle_dec _ _); auto).
    assert (Py : 0 <= sum n (fun k => y k ^ 2)) by (apply sum_nonneg; intros; apply pow2_ge_0).
    assert (Hm : sum n (fun k => (a k + b k * y k) ^ 2 - v * y k ^ 2) / INR n <= m) by apply Rmax_r.
    apply U_le with (INR n * m + v * sum n (fun k => y k ^ 2)).
    - rewrite <- (sum_scal n v (fun k => y k ^ 2)). apply Rmult_le_compat_l with (r := INR n) in Hm; [| lra].
      replace (INR n * (sum n (fun k => (a k + b k * y k) ^ 2 - v * y k ^ 2) / INR n)) with (sum n (fun k => (a k + b k * y k) ^ 2 - v * y k ^ 2)) in Hm by (field; lra).
      apply Rle_trans with (sum n (fun k => (a k + b k * y k) ^ 2 - v * y k ^ 2) + sum n (fun k => v * y k ^ 2)); [| lra].
      rewrite <- sum_plus. right. apply sum_ext. intros. ring.
    - apply U_add; apply U_mul; auto; try lra. apply U_of_real with v; auto. lra. }
  clear - All. assert (G : forall l best, (forall u m, In (u, m) l -> U (sum n (fun k => (a k + b k * y k) ^ 2)) (add prec (mul prec size (average prec m low2 high2)) (mul prec u y2))) ->
    U (sum n (fun k => (a k + b k * y k) ^ 2)) best ->
    U (sum n (fun k => (a k + b k * y k) ^ 2)) (fold_left (fun best '(u, m) => mn best (add prec (mul prec size (average prec m low2 high2)) (mul prec u y2))) l best)).
  { induction l as [| [u m] l IH]; intros best Hl Hb; simpl; auto. apply IH. { intros; apply Hl; simpl; auto. } apply U_mn; auto. apply Hl. now left. }
  apply G; auto. apply U_nan.
Qed.

Section Rows.
Variables (Z : R) (act dact d2act : R -> R).

Definition row_ok (r : row) : Prop := forall t, Rabs t <= Z -> U (Rabs t) (edge r) ->
  U (Rabs (act t)) (peak0 r) /\ U (Rabs (dact t)) (peak1 r) /\ U (Rabs (d2act t)) (peak2 r) /\ Lo (Rabs (act t)) (least r) /\
  lines_ok (Rabs (dact t)) (act t) (slope1 r) /\ lines_ok (dact t ^ 2) (act t) (slope2 r) /\ lines_ok (d2act t ^ 2) (act t) (bend2 r) /\
  joint_ok (act t * dact t) (dact t) (act t) (signal r) /\ joint_ok (dact t * dact t + act t * d2act t) (d2act t) (act t) (drift r).

Lemma no_row_ok : row_ok no_row.
Proof.
  intros t _ _. unfold no_row; simpl.
  do 3 (split; [apply U_nan |]). split; [apply Lo_zero, Rabs_pos |].
  do 3 (split; [split; simpl; intros; contradiction |]). split; intros u l [].
Qed.

Lemma find_row_ok rs z : List.Forall row_ok rs -> row_ok (find_row rs z) /\ forall t, U t z -> U t (edge (find_row rs z)).
Proof.
  induction 1 as [| r rs H _ IH]; simpl.
  - split. apply no_row_ok. intros. apply U_nan.
  - destruct (leb z (edge r)) eqn:E; auto. split; auto. intros. eapply leb_U; eauto.
Qed.
End Rows.
End Rows.
