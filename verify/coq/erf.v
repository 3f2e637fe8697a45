(* The error function: its derivative, and its series of terms of one sign. *)
From Coq Require Import Reals Lra Lia Psatz.
From Coquelicot Require Import Coquelicot.
From ICGD Require Import vectors calculus.
Open Scope R_scope.

Definition bell (x : R) : R := exp (- (x * x)).
Definition erf_scale : R := 2 / sqrt PI.
Definition erf (x : R) : R := erf_scale * RInt bell 0 x.

Lemma bell_derive x : is_derive bell x (-2 * x * bell x).
Proof. unfold bell. auto_derive. exact I. ring. Qed.

Lemma bell_continuous x : continuous bell x.
Proof. apply (ex_derive_continuous bell). eexists. apply bell_derive. Qed.

Lemma integral_derive x : is_derive (RInt bell 0) x (bell x).
Proof.
  apply (is_derive_RInt bell (RInt bell 0) 0 x); [| apply bell_continuous].
  apply filter_forall. intros y. apply (RInt_correct bell), (ex_RInt_continuous bell). intros; apply bell_continuous.
Qed.

Lemma erf_derive x : is_derive erf x (erf_scale * bell x).
Proof. exact (is_derive_scal (RInt bell 0) x erf_scale (bell x) (integral_derive x)). Qed.

Lemma bell_bounds x : 0 < bell x <= 1.
Proof.
  unfold bell. split. apply exp_pos. rewrite <- exp_0. destruct (Req_dec x 0) as [-> | H].
  - right. f_equal. ring.
  - left. apply exp_increasing. nra.
Qed.

(* The integral of bell from 0 to x is bell x * sum T k, T 0 = x, T (k + 1) = T k * 2 x^2 / (2 k + 3). *)
Fixpoint weight (k : nat) : R := match k with O => 1 | S k => weight k * (2 / (2 * INR k + 3)) end.
Definition T (k : nat) (x : R) : R := weight k * (x * (x * x) ^ k).
Fixpoint series (n : nat) (x : R) : R := match n with O => 0 | S n => series n x + T n x end.

Lemma weight_pos k : 0 < weight k.
Proof.
  induction k; cbn [weight]; [lra |]. assert (0 <= INR k) by apply pos_INR. apply Rmult_lt_0_compat; auto.
  apply Rdiv_lt_0_compat; lra.
Qed.

Lemma T_step k x : T (S k) x = T k x * (2 * (x * x) / (2 * INR k + 3)).
Proof. unfold T. cbn [weight pow]. assert (0 <= INR k) by apply pos_INR. field. lra. Qed.

(* The derivative of T k. *)
Definition D (k : nat) (x : R) : R := weight k * (2 * INR k + 1) * (x * x) ^ k.

Lemma T_derive k x : is_derive (T k) x (D k x).
Proof.
  induction k as [| k IH].
  - unfold T, D. cbn [weight pow INR]. auto_derive. exact I. ring.
  - apply (is_derive_ext (fun x => T k x * (2 * (x * x) / (2 * INR k + 3)))). { intros; symmetry; apply T_step. }
    assert (0 <= INR k) by apply pos_INR. evar_last.
    + apply (is_derive_mult (T k) (fun x => 2 * (x * x) / (2 * INR k + 3)) x (D k x) (4 * x / (2 * INR k + 3)) IH).
      * auto_derive. exact I. field. lra.
      * intros; apply Rmult_comm.
    + transitivity (D k x * (2 * (x * x) / (2 * INR k + 3)) + T k x * (4 * x / (2 * INR k + 3))); [reflexivity |].
      unfold T, D. cbn [weight pow]. rewrite S_INR. field. lra.
Qed.

Lemma D_next k x : D (S k) x = 2 * x * T k x.
Proof. unfold D, T. cbn [weight pow]. rewrite S_INR. assert (0 <= INR k) by apply pos_INR. field. lra. Qed.

Lemma no_terms (a b : R) : a = a - b * 0.
Proof. ring. Qed.

Lemma one_more (a b c d : R) : a - b * c - b * d = a - b * (c + d).
Proof. ring. Qed.

Lemma rest_derive n x : is_derive (fun x => RInt bell 0 x - bell x * series n x) x (bell x * D n x).
Proof.
  induction n as [| n IH].
  - apply (is_derive_ext (RInt bell 0)). { intros t. apply (no_terms (RInt bell 0 t)). }
    replace (bell x * D 0 x) with (bell x) by (unfold D; simpl; ring). apply integral_derive.
  - apply (is_derive_ext (fun x => (RInt bell 0 x - bell x * series n x) - bell x * T n x)). { intros t. apply (one_more (RInt bell 0 t)). }
    replace (bell x * D (S n) x) with (bell x * D n x - (-2 * x * bell x * T n x + bell x * D n x)) by (rewrite D_next; ring).
    apply (is_derive_minus (fun x => RInt bell 0 x - bell x * series n x) (fun x => bell x * T n x)); [exact IH |].
    apply (is_derive_mult bell (T n) x (-2 * x * bell x) (D n x) (bell_derive x) (T_derive n x)). intros; apply Rmult_comm.
Qed.

Lemma Rabs_square a : Rabs a * Rabs a = a * a.
Proof. rewrite <- Rabs_mult. apply Rabs_pos_eq. nra. Qed.

Lemma erf_series n x : Rabs (erf x - erf_scale * (bell x * series n x)) <= erf_scale * ((2 * INR n + 1) * Rabs (T n x)).
Proof.
  assert (Ps : 0 < erf_scale). { apply Rdiv_lt_0_compat. lra. apply sqrt_lt_R0, PI_RGT_0. }
  unfold erf. rewrite <- Rmult_minus_distr_l, Rabs_mult, (Rabs_pos_eq erf_scale) by lra. apply Rmult_le_compat_l; [lra |].
  destruct (mvt_any (fun x => RInt bell 0 x - bell x * series n x) (fun x => bell x * D n x) (- Rabs x) (Rabs x)) with (a := 0) (b := x) as (c & Hc & E).
  - intros; apply rest_derive.
  - generalize (Rabs_pos x). lra.
  - apply Rabs_le_inv. lra.
  - rewrite RInt_point in E. replace (series n 0) with 0 in E.
    2: { clear. induction n; cbn [series]; auto. rewrite <- IHn. unfold T. ring. }
    unfold zero in E; simpl in E. rewrite Rmult_0_r, !Rminus_0_r in E. rewrite E, Rabs_mult.
    assert (Rabs c <= Rabs x) by (apply Rabs_le; lra). assert (W := weight_pos n). assert (0 <= INR n) by apply pos_INR.
    assert (Cc : c * c <= x * x) by (rewrite <- (Rabs_square c), <- (Rabs_square x); apply Rmult_le_compat; auto using Rabs_pos).
    assert (Pw : 0 <= (c * c) ^ n <= (x * x) ^ n) by (split; [apply pow_le; nra | apply pow_incr; nra]).
    assert (B := bell_bounds c). unfold D, T. set (p := (c * c) ^ n) in *. set (q := (x * x) ^ n) in *.
    replace ((2 * INR n + 1) * Rabs (weight n * (x * q))) with (weight n * (2 * INR n + 1) * q * Rabs x).
    + apply Rmult_le_compat_r; [apply Rabs_pos |]. assert (0 <= weight n * (2 * INR n + 1) * p) by (repeat apply Rmult_le_pos; lra).
      rewrite Rabs_pos_eq by (apply Rmult_le_pos; lra). apply Rle_trans with (1 * (weight n * (2 * INR n + 1) * p)).
      apply Rmult_le_compat_r; lra. rewrite Rmult_1_l. apply Rmult_le_compat_l; [apply Rmult_le_pos; lra | lra].
    + rewrite Rabs_mult, (Rabs_pos_eq (weight n)), Rabs_mult, (Rabs_pos_eq q) by lra. ring.
Qed.
