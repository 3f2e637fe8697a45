(* Vectors and matrices with real entries: sums, 1-norms, 2-norms, Frobenius norms, stacks of one matrix a layer. *)
From Coq Require Import Reals Lra Lia Psatz.
Open Scope R_scope.

Lemma Rabs_le_inv a b : Rabs a <= b -> - b <= a <= b.
Proof. unfold Rabs. destruct (Rcase_abs a); lra. Qed.

Lemma Rabs_sum2 a b u v : Rabs a <= u -> Rabs b <= v -> Rabs (a + b) <= u + v.
Proof. intros. eapply Rle_trans. apply Rabs_triang. lra. Qed.

Lemma Rabs_zero a b c : a = b -> 0 <= c -> Rabs (a - b) <= c.
Proof. intros -> Hc. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. exact Hc. Qed.

(** Sums, 2-norms, Frobenius norms. *)

Fixpoint sum (n : nat) (f : nat -> R) : R :=
  match n with O => 0 | S m => sum m f + f m end.

Definition norm (n : nat) (f : nat -> R) : R := sqrt (sum n (fun i => f i ^ 2)).

Definition frob (a b : nat) (M : nat -> nat -> R) : R := norm a (fun k => norm b (M k)).

Lemma sum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> sum n f = sum n g.
Proof. induction n; simpl; intros H; auto. rewrite IHn, H; auto. Qed.

Lemma sum_plus n f g : sum n (fun i => f i + g i) = sum n f + sum n g.
Proof. induction n; simpl; lra. Qed.

Lemma sum_scal n c f : sum n (fun i => c * f i) = c * sum n f.
Proof. induction n; simpl; lra. Qed.

Lemma sum_const n c : sum n (fun _ => c) = INR n * c.
Proof. induction n. simpl; lra. rewrite S_INR; simpl; lra. Qed.

Lemma sum_le n f g : (forall i, (i < n)%nat -> f i <= g i) -> sum n f <= sum n g.
Proof. induction n; simpl; intros H. lra. assert (f n <= g n) by auto. assert (sum n f <= sum n g) by auto. lra. Qed.

Lemma sum_sq_nonneg n f : 0 <= sum n (fun i => f i ^ 2).
Proof. induction n; cbn [sum]. lra. generalize (pow2_ge_0 (f n)). lra. Qed.

Lemma norm_nonneg n f : 0 <= norm n f.
Proof. apply sqrt_pos. Qed.

Lemma norm_sq n f : norm n f ^ 2 = sum n (fun i => f i ^ 2).
Proof. unfold norm. rewrite pow2_sqrt; auto using sum_sq_nonneg. Qed.

Lemma norm_S n f : norm (S n) f = sqrt (norm n f ^ 2 + f n ^ 2).
Proof. rewrite norm_sq. reflexivity. Qed.

Lemma le_sqrt a b : 0 <= b -> a ^ 2 <= b -> a <= sqrt b.
Proof.
  intros Hb H. destruct (Rle_dec 0 a) as [Ha | Ha].
  - rewrite <- (sqrt_pow2 a Ha). now apply sqrt_le_1_alt.
  - generalize (sqrt_pos b). lra.
Qed.

Lemma sqrt_le a b : 0 <= b -> a <= b ^ 2 -> sqrt a <= b.
Proof. intros Hb H. rewrite <- (sqrt_pow2 b Hb). now apply sqrt_le_1_alt. Qed.

Lemma cauchy2 p q a b : p * q + a * b <= sqrt (p ^ 2 + a ^ 2) * sqrt (q ^ 2 + b ^ 2).
Proof.
  rewrite <- sqrt_mult_alt by nra. apply le_sqrt. nra.
  replace ((p ^ 2 + a ^ 2) * (q ^ 2 + b ^ 2)) with ((p * q + a * b) ^ 2 + (p * b - a * q) ^ 2) by ring.
  generalize (pow2_ge_0 (p * b - a * q)). lra.
Qed.

Lemma norm_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> norm n f = norm n g.
Proof. intros H. unfold norm. f_equal. apply sum_ext. intros i Hi. rewrite H; auto. Qed.

Lemma norm_le n f g : (forall i, (i < n)%nat -> Rabs (f i) <= g i) -> norm n f <= norm n g.
Proof.
  intros H. unfold norm. apply sqrt_le_1_alt, sum_le. intros i Hi.
  rewrite <- (pow2_abs (f i)). apply pow_incr. split; auto using Rabs_pos.
Qed.

Lemma norm_bound n f r c :
  0 <= r -> INR n <= r ^ 2 -> 0 <= c -> (forall i, (i < n)%nat -> Rabs (f i) <= c) -> norm n f <= r * c.
Proof.
  intros Hr Hn Hc H. apply Rle_trans with (1 := norm_le n f (fun _ => c) H).
  apply sqrt_le. nra. rewrite sum_const. rewrite Rpow_mult_distr. apply Rmult_le_compat_r; nra.
Qed.

Lemma norm_scal n c f : norm n (fun i => c * f i) = Rabs c * norm n f.
Proof.
  unfold norm. rewrite <- sqrt_Rsqr_abs, <- sqrt_mult_alt by apply Rle_0_sqr.
  f_equal. rewrite <- sum_scal. apply sum_ext. intros. unfold Rsqr. ring.
Qed.

Lemma norm_triangle n f g : norm n (fun i => f i + g i) <= norm n f + norm n g.
Proof.
  induction n as [| n IH]. unfold norm; simpl. rewrite sqrt_0. lra.
  rewrite !norm_S. set (p := norm n f) in *. set (q := norm n g) in *. set (a := f n). set (b := g n).
  assert (0 <= norm n (fun i => f i + g i)) by apply norm_nonneg.
  generalize (sqrt_pos (p ^ 2 + a ^ 2)) (sqrt_pos (q ^ 2 + b ^ 2)) (cauchy2 p q a b). intros.
  apply sqrt_le. lra.
  assert (sqrt (p ^ 2 + a ^ 2) ^ 2 = p ^ 2 + a ^ 2) by (apply pow2_sqrt; nra).
  assert (sqrt (q ^ 2 + b ^ 2) ^ 2 = q ^ 2 + b ^ 2) by (apply pow2_sqrt; nra).
  nra.
Qed.

Lemma cauchy n f g : Rabs (sum n (fun i => f i * g i)) <= norm n f * norm n g.
Proof.
  induction n as [| n IH]. unfold norm; simpl. rewrite sqrt_0, Rabs_R0. lra.
  rewrite !norm_S. simpl sum. apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
  apply Rle_trans with (norm n f * norm n g + Rabs (f n) * Rabs (g n)). lra.
  rewrite <- (pow2_abs (f n)), <- (pow2_abs (g n)). apply cauchy2.
Qed.

Lemma norm_coordinate n f i : (i < n)%nat -> Rabs (f i) <= norm n f.
Proof.
  induction n as [| n IH]; intros Hi. lia. rewrite norm_S. apply le_sqrt. nra. rewrite pow2_abs.
  destruct (Nat.eq_dec i n) as [-> | Hn]. nra.
  assert (Rabs (f i) <= norm n f) by (apply IH; lia). assert (0 <= Rabs (f i)) by apply Rabs_pos.
  rewrite <- (pow2_abs (f i)). nra.
Qed.

Lemma norm_product n c f g :
  0 <= c -> (forall k, (k < n)%nat -> Rabs (f k) <= c) -> norm n (fun k => f k * g k) <= c * norm n g.
Proof.
  intros Hc H. apply Rle_trans with (norm n (fun k => c * Rabs (g k))).
  - apply norm_le. intros k Hk. rewrite Rabs_mult. apply Rmult_le_compat_r; auto using Rabs_pos.
  - rewrite norm_scal, Rabs_pos_eq by exact Hc. right. f_equal. unfold norm. f_equal. apply sum_ext.
    intros. apply pow2_abs.
Qed.

Lemma frob_triangle a b M P : frob a b (fun k i => M k i + P k i) <= frob a b M + frob a b P.
Proof.
  unfold frob. eapply Rle_trans; [| apply norm_triangle]. apply norm_le. intros k _.
  rewrite Rabs_pos_eq by apply norm_nonneg. apply norm_triangle.
Qed.

Lemma frob_ext a b M P :
  (forall k i, (k < a)%nat -> (i < b)%nat -> M k i = P k i) -> frob a b M = frob a b P.
Proof. intros H. apply norm_ext. intros k Hk. apply norm_ext. auto. Qed.

Lemma frob_scal a b c M : frob a b (fun k i => c * M k i) = Rabs c * frob a b M.
Proof.
  unfold frob. rewrite (norm_ext a _ (fun k => Rabs c * norm b (M k))) by (intros; apply norm_scal).
  rewrite norm_scal, Rabs_Rabsolu. reflexivity.
Qed.

Lemma frob_outer a b f g : frob a b (fun k i => f k * g i) = norm a f * norm b g.
Proof.
  unfold frob. rewrite (norm_ext a _ (fun k => norm b g * Rabs (f k))).
  - rewrite norm_scal, Rabs_pos_eq by apply norm_nonneg. rewrite Rmult_comm. f_equal.
    unfold norm. f_equal. apply sum_ext. intros. apply pow2_abs.
  - intros. rewrite norm_scal. ring.
Qed.

Definition norm1 (n : nat) (f : nat -> R) : R := sum n (fun k => Rabs (f k)).

Lemma sum_nonneg n f : (forall k, (k < n)%nat -> 0 <= f k) -> 0 <= sum n f.
Proof. intros H. apply Rle_trans with (sum n (fun _ => 0)). rewrite sum_const; lra. now apply sum_le. Qed.

Lemma norm1_nonneg n f : 0 <= norm1 n f.
Proof. apply sum_nonneg. intros. apply Rabs_pos. Qed.

Lemma norm1_le n f g : (forall k, (k < n)%nat -> Rabs (f k) <= g k) -> norm1 n f <= sum n g.
Proof. intros H. now apply sum_le. Qed.

Lemma norm1_triangle n f g : norm1 n (fun k => f k + g k) <= norm1 n f + norm1 n g.
Proof. unfold norm1. rewrite <- sum_plus. apply sum_le. intros. apply Rabs_triang. Qed.

Lemma sum_abs n f : Rabs (sum n f) <= norm1 n f.
Proof.
  induction n; unfold norm1 in *; simpl. rewrite Rabs_R0; lra.
  eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Lemma row1 n h v f : 0 <= h -> (forall k, (k < n)%nat -> Rabs (v k) <= h) -> Rabs (sum n (fun k => v k * f k)) <= h * norm1 n f.
Proof.
  intros Hh H. eapply Rle_trans. apply sum_abs. unfold norm1. rewrite <- sum_scal. apply sum_le. intros k Hk.
  rewrite Rabs_mult. apply Rmult_le_compat_r; auto using Rabs_pos.
Qed.

Definition sr (n : nat) : R := sqrt (INR n).

Lemma sr_pos n : 0 <= sr n.
Proof. apply sqrt_pos. Qed.

Lemma sr_sq n : sr n ^ 2 = INR n.
Proof. unfold sr. rewrite pow2_sqrt; auto. apply pos_INR. Qed.

Lemma norm_sr n f c : 0 <= c -> (forall i, (i < n)%nat -> Rabs (f i) <= c) -> norm n f <= sr n * c.
Proof. intros. apply norm_bound; auto using sr_pos. rewrite sr_sq. lra. Qed.

Lemma norm_const n c : norm n (fun _ => c) = sr n * Rabs c.
Proof.
  unfold norm. rewrite sum_const. unfold sr. rewrite sqrt_mult_alt by apply pos_INR. f_equal.
  rewrite <- Rsqr_pow2, sqrt_Rsqr_abs. reflexivity.
Qed.

Lemma norm_abs n f : norm n (fun k => Rabs (f k)) = norm n f.
Proof. unfold norm. f_equal. apply sum_ext. intros. apply pow2_abs. Qed.

Lemma norm1_cauchy n f g : norm1 n (fun k => f k * g k) <= norm n f * norm n g.
Proof.
  rewrite <- (norm_abs n f), <- (norm_abs n g). eapply Rle_trans; [| apply cauchy].
  eapply Rle_trans; [| apply Rle_abs]. right. apply sum_ext. intros. now rewrite Rabs_mult.
Qed.

Lemma norm1_norm n f : norm1 n f <= sr n * norm n f.
Proof.
  rewrite <- (Rmult_1_r (sr n)), <- Rabs_R1, <- norm_const. eapply Rle_trans; [| apply norm1_cauchy].
  right. apply sum_ext. intros. now rewrite Rmult_1_l.
Qed.

Lemma norm1_product n c f g : (forall k, (k < n)%nat -> Rabs (f k) <= c) -> norm1 n (fun k => f k * g k) <= c * norm1 n g.
Proof.
  intros H. unfold norm1. rewrite <- sum_scal. apply sum_le. intros k Hk. rewrite Rabs_mult.
  apply Rmult_le_compat_r; auto using Rabs_pos.
Qed.

Lemma norm1_const n c f : (forall k, (k < n)%nat -> Rabs (f k) <= c) -> norm1 n f <= INR n * c.
Proof. intros H. rewrite <- sum_const. now apply sum_le. Qed.

Lemma norm1_ext n f g : (forall k, (k < n)%nat -> f k = g k) -> norm1 n f = norm1 n g.
Proof. intros H. apply sum_ext. intros. now rewrite H. Qed.

(** Stacks of matrices, one a layer. *)

Definition stack (N : nat) (dim : nat -> nat) (M : nat -> nat -> nat -> R) : R :=
  norm N (fun j => frob (dim (S j)) (dim j) (M j)).

Lemma frob_nonneg a b M : 0 <= frob a b M.
Proof. apply norm_nonneg. Qed.

Lemma stack_ext N dim M P : (forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> M j k i = P j k i) ->
  stack N dim M = stack N dim P.
Proof. intros H. apply norm_ext. intros j Hj. apply frob_ext. auto. Qed.

Lemma stack_triangle N dim M P : stack N dim (fun j k i => M j k i + P j k i) <= stack N dim M + stack N dim P.
Proof.
  unfold stack. eapply Rle_trans; [| apply norm_triangle]. apply norm_le. intros j _.
  rewrite Rabs_pos_eq by apply frob_nonneg. apply frob_triangle.
Qed.

Lemma stack_scal N dim c M : stack N dim (fun j k i => c * M j k i) = Rabs c * stack N dim M.
Proof.
  unfold stack. rewrite (norm_ext N _ (fun j => Rabs c * frob (dim (S j)) (dim j) (M j))) by (intros; apply frob_scal).
  rewrite norm_scal, Rabs_Rabsolu. reflexivity.
Qed.

Lemma stack_mean N dim n M c : (0 < n)%nat -> (forall t, (t < n)%nat -> stack N dim (M t) <= c) ->
  stack N dim (fun j k i => / INR n * sum n (fun t => M t j k i)) <= c.
Proof.
  intros Hn H. assert (Pn : 0 < INR n) by now apply lt_0_INR.
  rewrite (stack_scal N dim (/ INR n) (fun j k i => sum n (fun t => M t j k i))), Rabs_pos_eq by (left; now apply Rinv_0_lt_compat).
  assert (G : forall m, (m <= n)%nat -> stack N dim (fun j k i => sum m (fun t => M t j k i)) <= INR m * c).
  { induction m as [| m IH]; intros Hm.
    - simpl. rewrite (stack_ext N dim _ (fun _ _ _ => 0 * 0)) by (intros; lra).
      rewrite (stack_scal N dim 0 (fun _ _ _ => 0)), Rabs_R0. lra.
    - rewrite S_INR. simpl. eapply Rle_trans. apply (stack_triangle N dim (fun j k i => sum m (fun t => M t j k i)) (M m)).
      assert (stack N dim (M m) <= c) by (apply H; lia). assert (stack N dim (fun j k i => sum m (fun t => M t j k i)) <= INR m * c) by (apply IH; lia). lra. }
  apply Rle_trans with (/ INR n * (INR n * c)).
  - apply Rmult_le_compat_l. left; now apply Rinv_0_lt_compat. now apply G.
  - right. field. lra.
Qed.

(** Projection onto a box, coordinate by coordinate. *)

Definition clip_to (face t : R) : R := Rmax (- face) (Rmin face t).

Lemma clip_to_near face a b : Rabs (clip_to face a - clip_to face b) <= Rabs (a - b).
Proof. unfold clip_to, Rmax, Rmin, Rabs. repeat destruct (Rle_dec _ _); repeat destruct (Rcase_abs _); lra. Qed.

(* It moves no two points further apart: an error of a gradient is an error of the projected step, times eta. *)
Lemma projected N dim (face : nat -> R) (w A B : nat -> nat -> nat -> R) eta c : 0 <= eta ->
  stack N dim (fun j k i => A j k i - B j k i) <= c ->
  stack N dim (fun j k i => clip_to (face j) (w j k i - eta * A j k i) - clip_to (face j) (w j k i - eta * B j k i)) <= eta * c.
Proof.
  intros He H. apply Rle_trans with (stack N dim (fun j k i => eta * (A j k i - B j k i))).
  - unfold stack, frob. apply norm_le. intros j _. rewrite Rabs_pos_eq by apply norm_nonneg.
    apply norm_le. intros k _. rewrite Rabs_pos_eq by apply norm_nonneg.
    rewrite <- (norm_abs _ (fun i => eta * (A j k i - B j k i))). apply norm_le. intros i _.
    eapply Rle_trans; [apply clip_to_near |]. right. rewrite <- Rabs_Ropp. f_equal. ring.
  - rewrite (stack_scal N dim eta (fun j k i => A j k i - B j k i)), Rabs_pos_eq by exact He. now apply Rmult_le_compat_l.
Qed.
