(* How local errors become the error of one gradient step: for every depth, width and number of examples.
   Layers are counted from 0: V j takes p j (dim j numbers) to z j (dim (S j) numbers). *)
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

Lemma frob_sum a b n M :
  frob a b (fun k i => sum n (fun t => M t k i)) <= sum n (fun t => frob a b (M t)).
Proof.
  induction n as [| n IH]; simpl.
  - rewrite (frob_ext _ _ _ (fun k i => 0 * 0)) by (intros; lra). rewrite (frob_scal a b 0 (fun _ _ => 0)), Rabs_R0. lra.
  - eapply Rle_trans; [apply frob_triangle |]. lra.
Qed.

(** The error of a mean of matrices is at most the largest error. *)
Lemma frob_mean a b n M c :
  (0 < n)%nat -> (forall t, (t < n)%nat -> frob a b (M t) <= c) ->
  frob a b (fun k i => / INR n * sum n (fun t => M t k i)) <= c.
Proof.
  intros Hn H. assert (0 < INR n) by now apply lt_0_INR.
  rewrite frob_scal, Rabs_pos_eq by (left; now apply Rinv_0_lt_compat).
  apply Rle_trans with (/ INR n * (INR n * c)).
  - apply Rmult_le_compat_l. left; now apply Rinv_0_lt_compat.
    apply Rle_trans with (1 := frob_sum a b n M). rewrite <- sum_const. now apply sum_le.
  - right. field. lra.
Qed.

(** What the simulated network is, and what a block of the transformer computes. *)

(* N layers of sizes dim 0, ..., dim N; half j: half the side of the box of V j; act, dact: r and r' of layer j;
   phi: the loss slope is phi (p - y) (2 t for the squared loss).  For one example (x, y): *)
Definition exact_pass (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R)
    (phi : R -> R) (x y : nat -> R) (p z g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim 0)%nat -> p O i = x i) /\
  (forall j k, (j < N)%nat -> (k < dim (S j))%nat ->
     z j k = sum (dim j) (fun i => V j k i * p j i) /\ p (S j) k = act j (z j k) /\ s j k = dact j (z j k) * g j k) /\
  (forall j k, S j = N -> (k < dim N)%nat -> g j k = phi (p N k - y k)) /\
  (forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
     g j k = sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)).

(* A block: every number within its rounding (wz, wr, wd, wx, wg) of what the program says, as long as numbers are
   within the ranges the program was made for (Z, G, and [DL, DH] for r').  rhat, dhat: the sums of ReLUs for r
   and r'; product: the program's multiplication. *)
Definition block_pass (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (rhat dhat : nat -> R -> R)
    (product : nat -> R -> R -> R) (phi : R -> R) (wz wr wd wx wg Z DL DH G : nat -> R) (x y : nat -> R)
    (p z d g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim 0)%nat -> p O i = x i) /\
  (forall j k, (j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (z j k - sum (dim j) (fun i => V j k i * p j i)) <= wz j /\
     (Rabs (z j k) <= Z j -> Rabs (p (S j) k - rhat j (z j k)) <= wr j) /\
     (Rabs (z j k) <= Z j -> Rabs (d j k - dhat j (z j k)) <= wd j) /\
     (DL j <= d j k <= DH j -> Rabs (g j k) <= G j -> Rabs (s j k - product j (d j k) (g j k)) <= wx j)) /\
  (forall j k, S j = N -> (k < dim N)%nat -> Rabs (g j k - phi (p N k - y k)) <= wg j) /\
  (forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (g j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)) <= wg j).

Section Step.

Variables (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R) (phi : R -> R).
(* root j: at least sqrt (dim j).  By: radius of y.  lip: Lipschitz constant of phi. *)
Variables (half root : nat -> R) (By lip : R).
(* Local errors: of z, r, r', products, g, and of the update. *)
Variables ez er ed ex eg eu : nat -> R.
(* Ranges: norm of p j; sups of z, r, r', r''; [DL, DH] around r'; sup and norm of g; norm of s. *)
Variables P Z A C1 C2 DL DH D G Gn Sn : nat -> R.
(* Errors: of p j (norm), z j (sup), r' (sup), g and s (norms). *)
Variables EP EZ ED EG ES : nat -> R.

Record constants : Prop := {
  root_ok : forall j, (j <= N)%nat -> 0 <= root j /\ INR (dim j) <= root j ^ 2;
  positive : forall j, (j < N)%nat -> 0 <= half j /\ 0 <= ez j /\ 0 <= er j /\ 0 <= ed j /\ 0 <= ex j /\ 0 <= eg j;
  bent : forall j, (j < N)%nat -> 0 <= C2 j;
  lip_ok : 0 <= lip /\ 0 <= By /\ phi 0 = 0 /\ forall a b, Rabs (phi a - phi b) <= lip * Rabs (a - b);
  act_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (act j t) <= A j;
  dact_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> DL j + ed j <= dact j t <= DH j - ed j;
  slope_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (dact j t) <= C1 j;
  act_lip : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j -> Rabs (act j a - act j b) <= C1 j * Rabs (a - b);
  dact_lip : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j -> Rabs (dact j a - dact j b) <= C2 j * Rabs (a - b);
  forward : forall j, (j < N)%nat ->
    half j * root j * P j + ez j <= Z j /\ root (S j) * (A j + er j) <= P (S j) /\
    half j * root j * EP j + ez j <= EZ j /\ ed j + C2 j * EZ j <= ED j /\
    root (S j) * (er j + C1 j * EZ j) <= EP (S j) /\ C1 j + ed j <= D j;
  start : EP O = 0 /\ 0 <= P O;
  loss : forall j, S j = N ->
    lip * (A j + er j + By) + eg j <= G j /\ lip * (P N + By) + root N * eg j <= Gn j /\
    lip * EP N + root N * eg j <= EG j;
  backward : forall j, (S j < N)%nat ->
    half (S j) * root (S (S j)) * Sn (S j) + eg j <= G j /\ root (S j) * G j <= Gn j /\
    root (S j) * (half (S j) * root (S (S j)) * ES (S j) + eg j) <= EG j;
  products : forall j, (j < N)%nat ->
    D j * Gn j + root (S j) * ex j <= Sn j /\ root (S j) * ex j + C1 j * EG j + Gn j * ED j <= ES j
}.

Hypothesis c : constants.
Hypothesis box : forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> Rabs (V j k i) <= half j.

Lemma row j k f : (j < N)%nat -> (k < dim (S j))%nat ->
  Rabs (sum (dim j) (fun i => V j k i * f i)) <= half j * root j * norm (dim j) f.
Proof.
  intros Hj Hk. apply Rle_trans with (1 := cauchy _ _ _). apply Rmult_le_compat_r. apply norm_nonneg.
  destruct (root_ok c j) as [? ?]; [lia |]. destruct (positive c j) as [? _]; [lia |].
  rewrite Rmult_comm. apply norm_bound; auto.
Qed.

Lemma column j i f : (j < N)%nat -> (i < dim j)%nat ->
  Rabs (sum (dim (S j)) (fun k => V j k i * f k)) <= half j * root (S j) * norm (dim (S j)) f.
Proof.
  intros Hj Hi. apply Rle_trans with (1 := cauchy (dim (S j)) (fun k => V j k i) f).
  apply Rmult_le_compat_r. apply norm_nonneg.
  destruct (root_ok c (S j)) as [? ?]; [lia |]. destruct (positive c j) as [? _]; [lia |].
  rewrite Rmult_comm. apply norm_bound; auto.
Qed.

(* A pass whose every number is within its whole local error of the exact formula. *)
Definition near (x y : nat -> R) (p z d g s : nat -> nat -> R) : Prop :=
  block_pass N dim V act dact (fun _ a b => a * b) phi ez er ed ex eg Z DL DH G x y p z d g s.

Lemma exact_near x y p z g s :
  exact_pass N dim V act dact phi x y p z g s -> near x y p z (fun j k => dact j (z j k)) g s.
Proof.
  intros (E0 & E1 & E2 & E3). split; [exact E0 |]. split; [| split].
  - intros j k Hj Hk. destruct (E1 j k Hj Hk) as (? & ? & ?). destruct (positive c j Hj) as (? & ? & ? & ? & ? & ?).
    repeat split; intros; apply Rabs_zero; auto.
  - intros j k Hj Hk. apply Rabs_zero; auto. apply (positive c j); lia.
  - intros j k Hj Hk. apply Rabs_zero; auto. apply (positive c j); lia.
Qed.

Ltac positives j Hj :=
  destruct (positive c j Hj) as (? & ? & ? & ? & ? & ?);
  destruct (forward c j Hj) as (? & ? & ? & ? & ? & ?);
  destruct (root_ok c j) as [? ?]; [lia |]; destruct (root_ok c (S j)) as [? ?]; [lia |].

Section Ranges.

Variables (x y : nat -> R) (p z d g s : nat -> nat -> R).
Hypothesis pass : near x y p z d g s.
Hypothesis Hx : norm (dim 0) x <= P 0.
Hypothesis Hy : norm (dim N) y <= By.

Lemma z_range j k : (j < N)%nat -> (k < dim (S j))%nat -> norm (dim j) (p j) <= P j -> Rabs (z j k) <= Z j.
Proof.
  intros Hj Hk Hp. destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (Hz & _). positives j Hj.
  generalize (row j k (p j) Hj Hk). intros Hr.
  assert (half j * root j * norm (dim j) (p j) <= half j * root j * P j) by (apply Rmult_le_compat_l; nra).
  replace (z j k) with ((z j k - sum (dim j) (fun i => V j k i * p j i)) + sum (dim j) (fun i => V j k i * p j i)) by ring.
  eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Lemma p_coordinate j k : (j < N)%nat -> (k < dim (S j))%nat -> norm (dim j) (p j) <= P j ->
  Rabs (p (S j) k) <= A j + er j.
Proof.
  intros Hj Hk Hp. assert (Hz := z_range j k Hj Hk Hp). destruct pass as (_ & Q & _).
  destruct (Q j k Hj Hk) as (_ & Hr & _). specialize (Hr Hz). assert (Ha := act_ok c j _ Hj Hz).
  replace (p (S j) k) with ((p (S j) k - act j (z j k)) + act j (z j k)) by ring.
  eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Lemma A_positive j t : (j < N)%nat -> Rabs t <= Z j -> 0 <= A j.
Proof. intros Hj Ht. apply Rle_trans with (Rabs (act j t)). apply Rabs_pos. apply (act_ok c); auto. Qed.

Lemma Z_positive j : (j < N)%nat -> 0 <= P j -> 0 <= Z j.
Proof. intros Hj Hp. positives j Hj. assert (0 <= half j * root j * P j) by (apply Rmult_le_pos; [apply Rmult_le_pos |]; auto). lra. Qed.

Lemma p_range j : (j <= N)%nat -> norm (dim j) (p j) <= P j.
Proof.
  induction j as [| j IH]; intros Hj.
  - destruct pass as (H & _). rewrite (norm_ext _ _ x); auto.
  - assert (Hp : norm (dim j) (p j) <= P j) by (apply IH; lia). assert (Hj' : (j < N)%nat) by lia.
    positives j Hj'. assert (0 <= P j) by (generalize (norm_nonneg (dim j) (p j)); lra).
    assert (0 <= A j) by (apply A_positive with 0; [| rewrite Rabs_R0; apply Z_positive]; auto).
    apply Rle_trans with (root (S j) * (A j + er j)); [| lra].
    apply norm_bound; auto. lra. intros k Hk. now apply p_coordinate.
Qed.

Lemma z_in j k : (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z j k) <= Z j.
Proof. intros Hj Hk. apply z_range; auto. apply p_range; lia. Qed.

Lemma d_in j k : (j < N)%nat -> (k < dim (S j))%nat -> DL j <= d j k <= DH j /\ Rabs (d j k) <= D j.
Proof.
  intros Hj Hk. assert (Hz := z_in j k Hj Hk). destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (_ & _ & Hd & _).
  specialize (Hd Hz). assert (H1 := dact_ok c j _ Hj Hz). assert (H2 := slope_ok c j _ Hj Hz). positives j Hj.
  split. apply Rabs_le_inv in Hd. lra.
  replace (d j k) with ((d j k - dact j (z j k)) + dact j (z j k)) by ring.
  eapply Rle_trans. apply Rabs_triang. lra.
Qed.

Lemma P_positive j : (j <= N)%nat -> 0 <= P j.
Proof. intros Hj. eapply Rle_trans; [apply norm_nonneg | now apply p_range]. Qed.

Lemma C1_positive j : (j < N)%nat -> 0 <= C1 j.
Proof.
  intros Hj. apply Rle_trans with (Rabs (dact j 0)). apply Rabs_pos.
  apply (slope_ok c); auto. rewrite Rabs_R0. apply Z_positive; auto. apply P_positive; lia.
Qed.

Lemma s_range j : (j < N)%nat ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) -> norm (dim (S j)) (g j) <= Gn j ->
  norm (dim (S j)) (s j) <= Sn j.
Proof.
  intros Hj Hg Hn. positives j Hj. destruct (products c j Hj) as [Hs _]. assert (HC := C1_positive j Hj).
  eapply Rle_trans; [| exact Hs].
  rewrite (norm_ext _ _ (fun k => d j k * g j k + (s j k - d j k * g j k))) by (intros; ring).
  eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat.
  - apply Rle_trans with (D j * norm (dim (S j)) (g j)).
    + apply norm_product. lra. intros. now apply d_in.
    + apply Rmult_le_compat_l; lra.
  - apply norm_bound; auto. intros k Hk. destruct pass as (_ & Q & _).
    destruct (Q j k Hj Hk) as (_ & _ & _ & Hp). apply Hp; auto. now apply d_in.
Qed.

Lemma A_nonneg j : (j < N)%nat -> 0 <= A j.
Proof. intros Hj. apply A_positive with 0; auto. rewrite Rabs_R0. apply Z_positive; auto. apply P_positive; lia. Qed.

Lemma G_nonneg j : (j < N)%nat -> (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) -> (0 < dim (S j))%nat -> 0 <= G j.
Proof. intros Hj H Hd. eapply Rle_trans; [apply Rabs_pos | apply (H O Hd)]. Qed.

Lemma g_last j : S j = N ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j.
Proof.
  intros Hj. assert (Hj' : (j < N)%nat) by lia. positives j Hj'. destruct (lip_ok c) as (Hl & HB & HF0 & Hphi).
  destruct (loss c j Hj) as (HG & HGn & _). destruct pass as (_ & _ & Hp & _).
  assert (Hu : forall k, Rabs (phi (p N k - y k)) <= lip * Rabs (p N k - y k)).
  { intros k. generalize (Hphi (p N k - y k) 0). rewrite HF0, !Rminus_0_r. auto. }
  rewrite Hj in *. split.
  - intros k Hk. eapply Rle_trans; [| exact HG].
    replace (g j k) with (phi (p N k - y k) + (g j k - phi (p N k - y k))) by ring.
    apply Rabs_sum2; [| apply Hp; auto]. eapply Rle_trans. apply Hu. apply Rmult_le_compat_l; auto.
    apply Rabs_sum2.
    + rewrite <- Hj. apply p_coordinate; rewrite ?Hj; auto. apply p_range; lia.
    + rewrite Rabs_Ropp. eapply Rle_trans; [apply norm_coordinate; exact Hk | exact Hy].
  - eapply Rle_trans; [| exact HGn].
    rewrite (norm_ext _ _ (fun k => phi (p N k - y k) + (g j k - phi (p N k - y k)))) by (intros; ring).
    eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat; [| apply norm_bound; auto].
    eapply Rle_trans. apply norm_le. intros k _. apply Hu.
    rewrite norm_scal, Rabs_pos_eq by exact Hl. apply Rmult_le_compat_l; auto.
    apply Rle_trans with (norm (dim N) (fun k => p N k - y k)).
    + unfold norm. right. f_equal. apply sum_ext. intros. apply pow2_abs.
    + rewrite (norm_ext _ _ (fun k => p N k + -1 * y k)) by (intros; ring).
      eapply Rle_trans. apply norm_triangle. rewrite norm_scal.
      replace (Rabs (-1)) with 1 by (rewrite Rabs_left; lra). rewrite Rmult_1_l.
      apply Rplus_le_compat; auto. apply p_range; lia.
Qed.

Lemma g_before j : (S j < N)%nat -> norm (dim (S (S j))) (s (S j)) <= Sn (S j) ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j.
Proof.
  intros Hj Hs. assert (Hj' : (j < N)%nat) by lia. positives j Hj'. destruct (backward c j Hj) as (HG & HGn & _).
  destruct (root_ok c (S (S j))) as [? ?]; [lia |]. destruct (positive c (S j) Hj) as (? & _).
  assert (0 <= half (S j) * root (S (S j))) by (apply Rmult_le_pos; auto).
  assert (HS0 : 0 <= Sn (S j)) by (eapply Rle_trans; [apply norm_nonneg | exact Hs]).
  assert (Hg : forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j).
  { intros k Hk. eapply Rle_trans; [| exact HG]. destruct pass as (_ & _ & _ & Q).
    replace (g j k) with (sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l) +
      (g j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l))) by ring.
    apply Rabs_sum2; [| apply Q; auto]. eapply Rle_trans. apply column; auto. now apply Rmult_le_compat_l. }
  split; auto. eapply Rle_trans; [| exact HGn]. apply norm_bound; auto.
  assert (0 <= half (S j) * root (S (S j)) * Sn (S j)) by (apply Rmult_le_pos; auto). lra.
Qed.

Lemma backward_range m : forall j, (j + S m = N)%nat ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j /\
  norm (dim (S j)) (s j) <= Sn j.
Proof.
  induction m as [| m IH]; intros j Hj.
  - destruct (g_last j) as [H1 H2]; [lia |]. repeat split; auto. apply s_range; auto; lia.
  - destruct (IH (S j)) as (_ & _ & H); [lia |]. destruct (g_before j) as [H1 H2]; [lia | exact H |].
    repeat split; auto. apply s_range; auto; lia.
Qed.

Lemma gs_range j : (j < N)%nat ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j /\
  norm (dim (S j)) (s j) <= Sn j.
Proof. intros Hj. apply backward_range with (m := (N - S j)%nat). lia. Qed.

End Ranges.

Section Errors.

Variables (x y : nat -> R) (p z g s p' z' d' g' s' : nat -> nat -> R).
Hypothesis exact : exact_pass N dim V act dact phi x y p z g s.
Hypothesis pass : near x y p' z' d' g' s'.
Hypothesis Hx : norm (dim 0) x <= P 0.
Hypothesis Hy : norm (dim N) y <= By.

Lemma exact' : near x y p z (fun j k => dact j (z j k)) g s.
Proof. now apply exact_near. Qed.

Let diff (f' f : nat -> nat -> R) j k := f' j k - f j k.

Lemma z_error j k : (j < N)%nat -> (k < dim (S j))%nat -> norm (dim j) (diff p' p j) <= EP j ->
  Rabs (diff z' z j k) <= EZ j.
Proof.
  intros Hj Hk Hp. positives j Hj. destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (Hz & _).
  destruct exact as (_ & E & _). destruct (E j k Hj Hk) as (Ez & _). unfold diff at 1. rewrite Ez.
  apply Rle_trans with (half j * root j * EP j + ez j); auto.
  replace (z' j k - sum (dim j) (fun i => V j k i * p j i)) with
    (sum (dim j) (fun i => V j k i * diff p' p j i) + (z' j k - sum (dim j) (fun i => V j k i * p' j i))).
  - apply Rabs_sum2; auto. eapply Rle_trans. apply row; auto. apply Rmult_le_compat_l; auto. now apply Rmult_le_pos.
  - rewrite (sum_ext _ (fun i => V j k i * diff p' p j i) (fun i => V j k i * p' j i + -1 * (V j k i * p j i)))
      by (intros; unfold diff; ring). rewrite sum_plus, sum_scal. ring.
Qed.

Lemma p_error j : (j <= N)%nat -> norm (dim j) (diff p' p j) <= EP j.
Proof.
  induction j as [| j IH]; intros Hj.
  - destruct exact as (E & _). destruct pass as (H & _). destruct (start c) as [-> _].
    rewrite (norm_ext _ _ (fun i => 0 * 0)).
    + rewrite (norm_scal _ 0 (fun _ => 0)), Rabs_R0. lra.
    + intros i Hi. unfold diff. rewrite E, H by auto. ring.
  - assert (Hp : norm (dim j) (diff p' p j) <= EP j) by (apply IH; lia). assert (Hj' : (j < N)%nat) by lia.
    positives j Hj'. assert (HC := C1_positive x y p' z' d' g' s' pass Hx j Hj').
    assert (0 <= EZ j).
    { assert (0 <= half j * root j * EP j). { apply Rmult_le_pos. now apply Rmult_le_pos.
      eapply Rle_trans; [apply norm_nonneg | exact Hp]. } lra. }
    apply Rle_trans with (root (S j) * (er j + C1 j * EZ j)); auto. apply norm_bound; auto.
    { assert (0 <= C1 j * EZ j) by now apply Rmult_le_pos. lra. }
    intros k Hk. assert (Hz := z_error j k Hj' Hk Hp). destruct exact as (_ & E & _). destruct (E j k Hj' Hk) as (_ & Ep & _).
    assert (Z1 := z_in _ _ _ _ _ _ _ pass Hx j k Hj' Hk). assert (Z2 := z_in _ _ _ _ _ _ _ exact' Hx j k Hj' Hk).
    destruct pass as (_ & Q & _). destruct (Q j k Hj' Hk) as (_ & Hr & _).
    unfold diff at 1. rewrite Ep.
    replace (p' (S j) k - act j (z j k)) with ((p' (S j) k - act j (z' j k)) + (act j (z' j k) - act j (z j k))) by ring.
    apply Rabs_sum2; auto. eapply Rle_trans. apply (act_lip c); auto. now apply Rmult_le_compat_l.
Qed.

Lemma C2_EZ j : (j < N)%nat -> forall k, (k < dim (S j))%nat ->
  Rabs (dact j (z' j k) - dact j (z j k)) <= C2 j * EZ j.
Proof.
  intros Hj k Hk. assert (Hz := z_error j k Hj Hk (p_error j (Nat.lt_le_incl _ _ Hj))).
  assert (Z1 := z_in _ _ _ _ _ _ _ pass Hx j k Hj Hk). assert (Z2 := z_in _ _ _ _ _ _ _ exact' Hx j k Hj Hk).
  eapply Rle_trans. apply (dact_lip c); auto.
  apply Rmult_le_compat_l; auto. now apply (bent c).
Qed.

Lemma d_error j k : (j < N)%nat -> (k < dim (S j))%nat -> Rabs (d' j k - dact j (z j k)) <= ED j.
Proof.
  intros Hj Hk. assert (Hz := z_in _ _ _ _ _ _ _ pass Hx j k Hj Hk). assert (HC := C2_EZ j Hj k Hk).
  destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (_ & _ & Hd & _). specialize (Hd Hz). positives j Hj.
  replace (d' j k - dact j (z j k)) with ((d' j k - dact j (z' j k)) + (dact j (z' j k) - dact j (z j k))) by ring.
  eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
Qed.

Lemma ED_nonneg j : (j < N)%nat -> 0 <= ED j.
Proof.
  intros Hj. positives j Hj. assert (HP := p_error j (Nat.lt_le_incl _ _ Hj)). assert (HC := bent c j Hj).
  assert (0 <= half j * root j * EP j).
  { apply Rmult_le_pos. now apply Rmult_le_pos. eapply Rle_trans; [apply norm_nonneg | exact HP]. }
  assert (0 <= C2 j * EZ j) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma s_error j : (j < N)%nat -> norm (dim (S j)) (diff g' g j) <= EG j -> norm (dim (S j)) (diff s' s j) <= ES j.
Proof.
  intros Hj Hg. positives j Hj. destruct (products c j Hj) as [_ Hs].
  destruct (gs_range x y p' z' d' g' s' pass Hx Hy j Hj) as (HG & HGn & _).
  assert (HC := C1_positive x y p' z' d' g' s' pass Hx j Hj).
  assert (HE := ED_nonneg j Hj).
  eapply Rle_trans; [| exact Hs].
  rewrite (norm_ext _ _ (fun k => ((s' j k - d' j k * g' j k) + dact j (z j k) * diff g' g j k) +
    (d' j k - dact j (z j k)) * g' j k)).
  2: { intros k Hk. destruct exact as (_ & E & _). destruct (E j k Hj Hk) as (_ & _ & Es).
       unfold diff. rewrite Es. ring. }
  eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat.
  - eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat.
    + apply norm_bound; auto. intros k Hk.
      assert (Hd := d_in _ _ _ _ _ _ _ pass Hx j k Hj Hk). destruct Hd as [Hd _].
      destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (_ & _ & _ & Hp). apply Hp; auto.
    + apply Rle_trans with (C1 j * norm (dim (S j)) (diff g' g j)).
      * apply norm_product; auto. intros k Hk. apply (slope_ok c); auto. apply (z_in _ _ _ _ _ _ _ exact' Hx j k Hj Hk).
      * now apply Rmult_le_compat_l.
  - apply Rle_trans with (ED j * norm (dim (S j)) (g' j)).
    + apply norm_product; auto. intros k Hk. now apply d_error.
    + rewrite Rmult_comm. now apply Rmult_le_compat_r.
Qed.

Lemma g_last_error j : S j = N -> norm (dim (S j)) (diff g' g j) <= EG j.
Proof.
  intros Hj. assert (Hj' : (j < N)%nat) by lia. positives j Hj'. destruct (lip_ok c) as (Hl & _ & _ & Hphi).
  destruct (loss c j Hj) as (_ & _ & HG). destruct exact as (_ & _ & E & _). destruct pass as (_ & _ & Q & _).
  assert (Hp := p_error N (Nat.le_refl _)). rewrite Hj in *. eapply Rle_trans; [| exact HG].
  rewrite (norm_ext _ _ (fun k => (phi (p' N k - y k) - phi (p N k - y k)) + (g' j k - phi (p' N k - y k)))).
  2: { intros k Hk. unfold diff. rewrite E by auto. ring. }
  eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat; [| apply norm_bound; auto].
  apply Rle_trans with (norm (dim N) (fun k => lip * Rabs (diff p' p N k))).
  - apply norm_le. intros k Hk. eapply Rle_trans. apply Hphi. right. unfold diff. do 2 f_equal. ring.
  - rewrite norm_scal, Rabs_pos_eq by exact Hl. apply Rmult_le_compat_l; auto.
    eapply Rle_trans; [| exact Hp]. right. unfold norm. f_equal. apply sum_ext. intros. apply pow2_abs.
Qed.

Lemma g_before_error j : (S j < N)%nat -> norm (dim (S (S j))) (diff s' s (S j)) <= ES (S j) ->
  norm (dim (S j)) (diff g' g j) <= EG j.
Proof.
  intros Hj Hs. assert (Hj' : (j < N)%nat) by lia. positives j Hj'. destruct (backward c j Hj) as (_ & _ & HG).
  destruct (root_ok c (S (S j))) as [? ?]; [lia |]. destruct (positive c (S j) Hj) as (? & _).
  assert (0 <= half (S j) * root (S (S j))) by (apply Rmult_le_pos; auto).
  eapply Rle_trans; [| exact HG]. apply norm_bound; auto.
  { assert (0 <= half (S j) * root (S (S j)) * ES (S j)).
    { apply Rmult_le_pos; auto. eapply Rle_trans; [apply norm_nonneg | exact Hs]. } lra. }
  intros k Hk. destruct exact as (_ & _ & _ & E). destruct pass as (_ & _ & _ & Q).
  unfold diff at 1. rewrite E by auto.
  replace (g' j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)) with
    (sum (dim (S (S j))) (fun l => V (S j) l k * diff s' s (S j) l) +
     (g' j k - sum (dim (S (S j))) (fun l => V (S j) l k * s' (S j) l))).
  - apply Rabs_sum2; auto. eapply Rle_trans. apply column; auto. now apply Rmult_le_compat_l.
  - rewrite (sum_ext _ (fun l => V (S j) l k * diff s' s (S j) l)
      (fun l => V (S j) l k * s' (S j) l + -1 * (V (S j) l k * s (S j) l))) by (intros; unfold diff; ring).
    rewrite sum_plus, sum_scal. ring.
Qed.

Lemma backward_error m : forall j, (j + S m = N)%nat -> norm (dim (S j)) (diff s' s j) <= ES j.
Proof.
  induction m as [| m IH]; intros j Hj; apply s_error; try lia.
  - apply g_last_error. lia.
  - apply g_before_error. lia. apply IH. lia.
Qed.

Lemma gradient_error j : (j < N)%nat ->
  frob (dim (S j)) (dim j) (fun k i => s' j k * p' j i / 2 - s j k * p j i / 2) <= (ES j * P j + Sn j * EP j) / 2.
Proof.
  intros Hj. assert (Hs : norm (dim (S j)) (diff s' s j) <= ES j) by (apply backward_error with (N - S j)%nat; lia).
  assert (Hp := p_error j (Nat.lt_le_incl _ _ Hj)).
  assert (Hp' := p_range _ _ _ _ _ _ _ pass Hx j (Nat.lt_le_incl _ _ Hj)).
  destruct (gs_range _ _ _ _ _ _ _ exact' Hx Hy j Hj) as (_ & _ & Hs').
  rewrite (frob_ext _ _ _ (fun k i => / 2 * (diff s' s j k * p' j i + s j k * diff p' p j i)))
    by (intros; unfold diff; field).
  rewrite frob_scal, Rabs_pos_eq by lra.
  assert (frob (dim (S j)) (dim j) (fun k i => diff s' s j k * p' j i + s j k * diff p' p j i) <=
    ES j * P j + Sn j * EP j); [| lra].
  eapply Rle_trans. apply frob_triangle. rewrite !frob_outer.
  apply Rplus_le_compat; apply Rmult_le_compat; auto using norm_nonneg.
Qed.

End Errors.

(* The local lemmas turn a block into a pass near the exact one. *)
Section Block.

Variables (rhat dhat : nat -> R -> R) (product : nat -> R -> R -> R) (wz wr wd wx wg fr fd fx : nat -> R).

Record lemmas : Prop := {
  r_lemma : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (rhat j t - act j t) <= fr j;
  dr_lemma : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (dhat j t - dact j t) <= fd j;
  product_lemma : forall j a b, (j < N)%nat -> DL j <= a <= DH j -> Rabs b <= G j ->
    Rabs (product j a b - a * b) <= fx j;
  rounded : forall j, (j < N)%nat ->
    wz j <= ez j /\ fr j + wr j <= er j /\ fd j + wd j <= ed j /\ fx j + wx j <= ex j /\ wg j <= eg j
}.

Lemma block_near x y p z d g s : lemmas ->
  block_pass N dim V rhat dhat product phi wz wr wd wx wg Z DL DH G x y p z d g s -> near x y p z d g s.
Proof.
  intros L (B0 & B1 & B2 & B3). split; [exact B0 |]. split; [| split].
  - intros j k Hj Hk. destruct (B1 j k Hj Hk) as (Bz & Br & Bd & Bx). destruct (rounded L j Hj) as (? & ? & ? & ? & ?).
    repeat split.
    + lra.
    + intros Hz. assert (F := r_lemma L j _ Hj Hz). specialize (Br Hz).
      replace (p (S j) k - act j (z j k)) with ((rhat j (z j k) - act j (z j k)) + (p (S j) k - rhat j (z j k))) by ring.
      eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
    + intros Hz. assert (F := dr_lemma L j _ Hj Hz). specialize (Bd Hz).
      replace (d j k - dact j (z j k)) with ((dhat j (z j k) - dact j (z j k)) + (d j k - dhat j (z j k))) by ring.
      eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
    + intros Hd Hg. assert (F := product_lemma L j _ _ Hj Hd Hg). specialize (Bx Hd Hg).
      replace (s j k - d j k * g j k) with
        ((product j (d j k) (g j k) - d j k * g j k) + (s j k - product j (d j k) (g j k))) by ring.
      eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
  - intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. destruct (rounded L j Hj') as (_ & _ & _ & _ & ?).
    eapply Rle_trans; [now apply B2 | assumption].
  - intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. destruct (rounded L j Hj') as (_ & _ & _ & _ & ?).
    eapply Rle_trans; [now apply B3 | assumption].
Qed.

End Block.

(** The error of one step over eta, for every number of examples: the mean over them and the update's own error. *)
Theorem step_error (n : nat) (X Y : nat -> nat -> R) (p z g s p' z' d' g' s' Gr : nat -> nat -> nat -> R)
    (E : nat -> R) (bound : R) :
  (0 < n)%nat ->
  (forall t, (t < n)%nat ->
     norm (dim 0) (X t) <= P 0 /\ norm (dim N) (Y t) <= By /\
     exact_pass N dim V act dact phi (X t) (Y t) (p t) (z t) (g t) (s t) /\
     near (X t) (Y t) (p' t) (z' t) (d' t) (g' t) (s' t)) ->
  (forall j, (j < N)%nat -> frob (dim (S j)) (dim j)
     (fun k i => Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)) <= eu j) ->
  (forall j, (j < N)%nat -> (ES j * P j + Sn j * EP j) / 2 + eu j <= E j) ->
  0 <= bound -> sum N (fun j => E j ^ 2) <= bound ^ 2 ->
  norm N (fun j => frob (dim (S j)) (dim j)
    (fun k i => Gr j k i - / INR n * sum n (fun t => s t j k * p t j i / 2))) <= bound.
Proof.
  intros Hn Hpass Hu HE Hb Hsum. apply Rle_trans with (norm N E); [| now apply sqrt_le].
  apply norm_le. intros j Hj. rewrite Rabs_pos_eq by apply norm_nonneg.
  eapply Rle_trans; [| apply (HE j Hj)].
  rewrite (frob_ext _ _ _ (fun k i =>
    / INR n * sum n (fun t => s' t j k * p' t j i / 2 - s t j k * p t j i / 2) +
    (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)))).
  2: { intros k i _ _. rewrite (sum_ext n (fun t => s' t j k * p' t j i / 2 - s t j k * p t j i / 2)
         (fun t => s' t j k * p' t j i / 2 + -1 * (s t j k * p t j i / 2))) by (intros; ring).
       rewrite sum_plus, sum_scal. ring. }
  eapply Rle_trans. apply frob_triangle. apply Rplus_le_compat; auto.
  apply frob_mean with (M := fun t k i => s' t j k * p' t j i / 2 - s t j k * p t j i / 2); auto.
  intros t Ht. destruct (Hpass t Ht) as (Hx & Hy & Hexact & Hnear). eapply gradient_error; eauto.
Qed.

End Step.
