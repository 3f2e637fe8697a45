(* What the simulated network is, what a block of the transformer computes for one example, and in which ranges both are.
   Layers are counted from 0: V j takes p j (dim j numbers) to z j (dim (S j) numbers). *)
From Coq Require Import Reals Lra Lia Psatz.
From ICGD Require Import vectors.
Open Scope R_scope.

(* N layers of sizes dim 0, ..., dim N; act, dact: r and r' of layer j; the loss has slope phi (p - rho y) - sigma y in p
   (squared loss: phi t = 2 t, rho = 1, sigma = 0; logistic: phi is the sigmoid, rho = 0, sigma = 1).  For one example (x, y): *)
Definition exact_pass (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R)
    (phi : R -> R) (rho sigma : R) (x y : nat -> R) (p z g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim 0)%nat -> p O i = x i) /\
  (forall j k, (j < N)%nat -> (k < dim (S j))%nat ->
     z j k = sum (dim j) (fun i => V j k i * p j i) /\ p (S j) k = act j (z j k) /\ s j k = dact j (z j k) * g j k) /\
  (forall j k, S j = N -> (k < dim N)%nat -> g j k = phi (p N k - rho * y k) - sigma * y k) /\
  (forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
     g j k = sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)).

(* A block: every number within its rounding (wz, wr, wd, wx, wg) of what the program says, as long as numbers are
   within the ranges the program was made for (Z, G, and [DL, DH] for r').  rhat, dhat, uhat: the sums of ReLUs for r,
   r' and the loss slope, which is read from z if `direct`, else from p - rho y; product: the program's multiplication. *)
Definition block_pass (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (rhat dhat : nat -> R -> R)
    (product : nat -> R -> R -> R) (uhat : R -> R) (direct : bool) (rho sigma : R) (wz wr wd wx wg Z DL DH G : nat -> R)
    (x y : nat -> R) (p z d g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim 0)%nat -> p O i = x i) /\
  (forall j k, (j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (z j k - sum (dim j) (fun i => V j k i * p j i)) <= wz j /\
     (Rabs (z j k) <= Z j -> Rabs (p (S j) k - rhat j (z j k)) <= wr j) /\
     (Rabs (z j k) <= Z j -> Rabs (d j k - dhat j (z j k)) <= wd j) /\
     (DL j <= d j k <= DH j -> Rabs (g j k) <= G j -> Rabs (s j k - product j (d j k) (g j k)) <= wx j)) /\
  (forall j k, S j = N -> (k < dim N)%nat -> Rabs (z j k) <= Z j ->
     Rabs (g j k - (uhat (if direct then z j k else p N k - rho * y k) - sigma * y k)) <= wg j) /\
  (forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (g j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)) <= wg j).

(* A pass whose every number is within its whole local error of the exact formula; the loss slope, of its value at a
   number within ea of r(z). *)
Definition near_pass (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R) (phi : R -> R)
    (rho sigma ea : R) (ez er ed ex eg Z DL DH G : nat -> R) (x y : nat -> R) (p z d g s : nat -> nat -> R) : Prop :=
  (forall i, (i < dim 0)%nat -> p O i = x i) /\
  (forall j k, (j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (z j k - sum (dim j) (fun i => V j k i * p j i)) <= ez j /\
     (Rabs (z j k) <= Z j -> Rabs (p (S j) k - act j (z j k)) <= er j) /\
     (Rabs (z j k) <= Z j -> Rabs (d j k - dact j (z j k)) <= ed j) /\
     (DL j <= d j k <= DH j -> Rabs (g j k) <= G j -> Rabs (s j k - d j k * g j k) <= ex j)) /\
  (forall j k, S j = N -> (k < dim N)%nat -> Rabs (z j k) <= Z j -> exists a,
     Rabs (a - act j (z j k)) <= ea /\ Rabs (g j k - (phi (a - rho * y k) - sigma * y k)) <= eg j) /\
  (forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
     Rabs (g j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l)) <= eg j).

Section Block.

Variables (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R) (phi : R -> R).
(* half: half the side of the box of V j.  root j: at least sqrt (dim j).  By: radius of y. *)
Variables (rho sigma : R) (half root : nat -> R) (By : R).
(* |u| <= phi0 + lip |p| + tilt |y| and |u| <= top, for p up to the range of r in the last layer, and ea beyond. *)
Variables (lip phi0 tilt top ea : R).
(* Local errors: of z, r, r', products, g. *)
Variables ez er ed ex eg : nat -> R.
(* Ranges: norm of p j; sups of z and r; [DL, DH] around r', at most D in size; sup and norm of g; norm of s. *)
Variables P Z A DL DH D G Gn Sn : nat -> R.

Record ranges : Prop := {
  root_ok : forall j, (j <= N)%nat -> 0 <= root j /\ INR (dim j) <= root j ^ 2;
  positive : forall j, (j < N)%nat -> 0 <= half j /\ 0 <= ez j /\ 0 <= er j /\ 0 <= ed j /\ 0 <= ex j /\ 0 <= eg j;
  radius : 0 <= By;
  slope_size : 0 <= lip /\ 0 <= phi0 /\ 0 <= tilt /\ 0 <= ea;
  slope_ok : forall j a y, S j = N -> Rabs a <= A j + ea -> Rabs y <= By ->
    Rabs (phi (a - rho * y) - sigma * y) <= top /\ Rabs (phi (a - rho * y) - sigma * y) <= phi0 + lip * Rabs a + tilt * Rabs y;
  act_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (act j t) <= A j;
  dact_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> DL j + ed j <= dact j t <= DH j - ed j;
  forward : forall j, (j < N)%nat ->
    half j * root j * P j + ez j <= Z j /\ root (S j) * (A j + er j) <= P (S j) /\ - D j <= DL j /\ DH j <= D j;
  last : forall j, S j = N -> top + eg j <= G j /\
    (root N * G j <= Gn j \/ phi0 * root N + lip * (root N * (A j + ea)) + tilt * By + root N * eg j <= Gn j);
  backward : forall j, (S j < N)%nat ->
    half (S j) * root (S (S j)) * Sn (S j) + eg j <= G j /\ root (S j) * G j <= Gn j;
  products : forall j, (j < N)%nat ->
    D j * Gn j + root (S j) * ex j <= Sn j \/ root (S j) * (D j * G j + ex j) <= Sn j
}.

Hypothesis c : ranges.
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

Definition near := near_pass N dim V act dact phi rho sigma ea ez er ed ex eg Z DL DH G.

Lemma exact_near x y p z g s :
  exact_pass N dim V act dact phi rho sigma x y p z g s -> near x y p z (fun j k => dact j (z j k)) g s.
Proof.
  intros (E0 & E1 & E2 & E3). split; [exact E0 |]. split; [| split].
  - intros j k Hj Hk. destruct (E1 j k Hj Hk) as (? & ? & ?). destruct (positive c j Hj) as (? & ? & ? & ? & ? & ?).
    repeat split; intros; apply Rabs_zero; auto.
  - intros j k Hj Hk _. exists (act j (z j k)). destruct (slope_size c) as (_ & _ & _ & Pa).
    split; [now apply Rabs_zero |]. apply Rabs_zero; [| apply (positive c j); lia].
    destruct (E1 j k) as (_ & Ep & _); [lia | now rewrite Hj |]. rewrite E2 by auto. now rewrite <- Ep, Hj.
  - intros j k Hj Hk. apply Rabs_zero; auto. apply (positive c j); lia.
Qed.

Ltac positives j Hj :=
  destruct (positive c j Hj) as (? & ? & ? & ? & ? & ?);
  destruct (forward c j Hj) as (? & ? & ? & ?);
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
  specialize (Hd Hz). assert (H1 := dact_ok c j _ Hj Hz). positives j Hj. apply Rabs_le_inv in Hd.
  split; [lra | apply Rabs_le; lra].
Qed.

Lemma D_positive j : (j < N)%nat -> 0 <= D j.
Proof. intros Hj. positives j Hj. assert (K := dact_ok c j 0 Hj). rewrite Rabs_R0 in K.
  specialize (K ltac:(apply Z_positive; auto; eapply Rle_trans; [apply norm_nonneg | apply p_range; lia])). lra. Qed.

Lemma s_range j : (j < N)%nat -> 0 <= G j ->
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) -> norm (dim (S j)) (g j) <= Gn j ->
  norm (dim (S j)) (s j) <= Sn j.
Proof.
  intros Hj Hg0 Hg Hn. positives j Hj. assert (HD := D_positive j Hj).
  assert (Hp : forall k, (k < dim (S j))%nat -> Rabs (s j k - d j k * g j k) <= ex j).
  { intros k Hk. destruct pass as (_ & Q & _). destruct (Q j k Hj Hk) as (_ & _ & _ & Hp). apply Hp; auto. now apply d_in. }
  destruct (products c j Hj) as [Hs | Hs]; (eapply Rle_trans; [| exact Hs]).
  - rewrite (norm_ext _ _ (fun k => d j k * g j k + (s j k - d j k * g j k))) by (intros; ring).
    eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat.
    + apply Rle_trans with (D j * norm (dim (S j)) (g j)).
      * apply norm_product. lra. intros. now apply d_in.
      * apply Rmult_le_compat_l; lra.
    + apply norm_bound; auto.
  - assert (0 <= D j * G j) by now apply Rmult_le_pos. apply norm_bound; auto. lra. intros k Hk.
    replace (s j k) with (d j k * g j k + (s j k - d j k * g j k)) by ring. apply Rabs_sum2; auto.
    rewrite Rabs_mult. apply Rmult_le_compat; auto using Rabs_pos. now apply d_in.
Qed.

Lemma g_last j : S j = N -> 0 <= G j /\
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j.
Proof.
  intros Hj. assert (Hj' : (j < N)%nat) by lia. positives j Hj'.
  destruct (last c j Hj) as (HG & HGn). destruct (slope_size c) as (Hl & H00 & Ht & Pa).
  assert (Hyk : forall k, (k < dim N)%nat -> Rabs (y k) <= By) by (intros k Hk; eapply Rle_trans; [apply norm_coordinate; exact Hk | exact Hy]).
  assert (HA : 0 <= A j). { apply A_positive with 0; auto. rewrite Rabs_R0. apply Z_positive; auto. eapply Rle_trans; [apply norm_nonneg | apply p_range; lia]. }
  assert (Hu : forall k, (k < dim N)%nat -> Rabs (g j k) <= top + eg j /\ Rabs (g j k) <= (phi0 + lip * (A j + ea) + tilt * Rabs (y k)) + eg j).
  { intros k Hk. destruct pass as (_ & _ & Q & _). assert (Hz := z_in j k Hj' ltac:(now rewrite Hj)).
    destruct (Q j k Hj Hk Hz) as (a & Ha & Hg). assert (Aa : Rabs a <= A j + ea).
    { replace a with (act j (z j k) + (a - act j (z j k))) by ring. apply Rabs_sum2; auto. now apply (act_ok c). }
    destruct (slope_ok c j a (y k) Hj Aa (Hyk k Hk)) as [U1 U2].
    replace (g j k) with ((phi (a - rho * y k) - sigma * y k) + (g j k - (phi (a - rho * y k) - sigma * y k))) by ring.
    split; apply Rabs_sum2; auto. eapply Rle_trans; [exact U2 |]. apply Rplus_le_compat_r, Rplus_le_compat_l. now apply Rmult_le_compat_l. }
  assert (HT : 0 <= top).
  { eapply Rle_trans; [apply Rabs_pos | apply (slope_ok c j 0 0 Hj)]; rewrite Rabs_R0; [lra | exact (radius c)]. }
  assert (Hg : forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j).
  { rewrite Hj. intros k Hk. eapply Rle_trans; [| exact HG]. now apply Hu. }
  assert (G0 : 0 <= G j) by lra. split; [exact G0 | split; [exact Hg |]]. rewrite Hj in *.
  destruct HGn as [HGn | HGn]; (eapply Rle_trans; [| exact HGn]).
  - now apply norm_bound.
  - eapply Rle_trans. apply norm_le. intros k Hk. apply (proj2 (Hu k Hk)). set (q := phi0 + lip * (A j + ea)).
    assert (0 <= q) by (unfold q; assert (0 <= lip * (A j + ea)) by (apply Rmult_le_pos; lra); lra).
    eapply Rle_trans. apply (norm_triangle (dim N) (fun k => q + tilt * Rabs (y k)) (fun _ => eg j)). apply Rplus_le_compat.
    2: { apply norm_bound; auto. intros. rewrite Rabs_pos_eq; lra. }
    eapply Rle_trans. apply (norm_triangle (dim N) (fun _ => q) (fun k => tilt * Rabs (y k))). apply Rplus_le_compat.
    + replace (phi0 * root N + lip * (root N * (A j + ea))) with (root N * q) by (unfold q; ring).
      apply norm_bound; auto. intros. rewrite Rabs_pos_eq; lra.
    + rewrite (norm_scal (dim N) tilt (fun k => Rabs (y k))), (Rabs_pos_eq tilt) by exact Ht. apply Rmult_le_compat_l; auto.
      rewrite (norm_abs (dim N) y). exact Hy.
Qed.

Lemma g_before j : (S j < N)%nat -> norm (dim (S (S j))) (s (S j)) <= Sn (S j) -> 0 <= G j /\
  (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (g j) <= Gn j.
Proof.
  intros Hj Hs. assert (Hj' : (j < N)%nat) by lia. positives j Hj'. destruct (backward c j Hj) as (HG & HGn).
  destruct (root_ok c (S (S j))) as [? ?]; [lia |]. destruct (positive c (S j) Hj) as (? & _).
  assert (0 <= half (S j) * root (S (S j))) by (apply Rmult_le_pos; auto).
  assert (HS0 : 0 <= Sn (S j)) by (eapply Rle_trans; [apply norm_nonneg | exact Hs]).
  assert (G0 : 0 <= G j). { assert (0 <= half (S j) * root (S (S j)) * Sn (S j)) by now apply Rmult_le_pos. lra. }
  assert (Hg : forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j).
  { intros k Hk. eapply Rle_trans; [| exact HG]. destruct pass as (_ & _ & _ & Q).
    replace (g j k) with (sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l) +
      (g j k - sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l))) by ring.
    apply Rabs_sum2; [| apply Q; auto]. eapply Rle_trans. apply column; auto. now apply Rmult_le_compat_l. }
  split; [exact G0 | split; [exact Hg |]]. eapply Rle_trans; [| exact HGn]. apply norm_bound; auto.
Qed.

Lemma gs_range j : (j < N)%nat -> (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (s j) <= Sn j.
Proof.
  assert (K : forall m j, (j + S m = N)%nat -> (forall k, (k < dim (S j))%nat -> Rabs (g j k) <= G j) /\ norm (dim (S j)) (s j) <= Sn j).
  { induction m as [| m IH]; intros i Hi.
    - destruct (g_last i) as (H0 & H1 & H2); [lia |]. split; auto. apply s_range; auto; lia.
    - destruct (IH (S i)) as (_ & H); [lia |]. destruct (g_before i) as (H0 & H1 & H2); [lia | exact H |].
      split; auto. apply s_range; auto; lia. }
  intros Hj. apply K with (m := (N - S j)%nat). lia.
Qed.

End Ranges.

(* The local lemmas turn a block into a pass near the exact one. *)
Section Lemmas.

Variables (rhat dhat : nat -> R -> R) (product : nat -> R -> R -> R) (uhat : R -> R) (direct : bool).
Variables (wz wr wd wx wg fr fd fx : nat -> R) (fu : R).

Record lemmas : Prop := {
  r_lemma : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (rhat j t - act j t) <= fr j;
  dr_lemma : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (dhat j t - dact j t) <= fd j;
  product_lemma : forall j a b, (j < N)%nat -> DL j <= a <= DH j -> Rabs b <= G j ->
    Rabs (product j a b - a * b) <= fx j;
  u_lemma : forall j t p y, S j = N -> Rabs t <= Z j -> Rabs (p - act j t) <= er j -> Rabs y <= By -> exists a,
    Rabs (a - act j t) <= ea /\ Rabs (uhat (if direct then t else p - rho * y) - phi (a - rho * y)) <= fu;
  rounded : forall j, (j < N)%nat ->
    wz j <= ez j /\ fr j + wr j <= er j /\ fd j + wd j <= ed j /\ fx j + wx j <= ex j /\
    (if Nat.eqb (S j) N then fu + wg j else wg j) <= eg j
}.

Lemma block_near x y p z d g s : lemmas -> norm (dim N) y <= By ->
  block_pass N dim V rhat dhat product uhat direct rho sigma wz wr wd wx wg Z DL DH G x y p z d g s -> near x y p z d g s.
Proof.
  intros L Hy (B0 & B1 & B2 & B3).
  assert (Near : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z j k) <= Z j -> Rabs (p (S j) k - act j (z j k)) <= er j).
  { intros j k Hj Hk Hz. destruct (B1 j k Hj Hk) as (_ & Br & _). destruct (rounded L j Hj) as (_ & ? & _).
    assert (F := r_lemma L j _ Hj Hz). specialize (Br Hz).
    replace (p (S j) k - act j (z j k)) with ((rhat j (z j k) - act j (z j k)) + (p (S j) k - rhat j (z j k))) by ring.
    eapply Rle_trans. apply Rabs_sum2; eassumption. lra. }
  split; [exact B0 |]. split; [| split].
  - intros j k Hj Hk. destruct (B1 j k Hj Hk) as (Bz & _ & Bd & Bx). destruct (rounded L j Hj) as (? & ? & ? & ? & ?).
    split; [lra | split; [now apply Near | split]].
    + intros Hz. assert (F := dr_lemma L j _ Hj Hz). specialize (Bd Hz).
      replace (d j k - dact j (z j k)) with ((dhat j (z j k) - dact j (z j k)) + (d j k - dhat j (z j k))) by ring.
      eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
    + intros Hd Hg. assert (F := product_lemma L j _ _ Hj Hd Hg). specialize (Bx Hd Hg).
      replace (s j k - d j k * g j k) with
        ((product j (d j k) (g j k) - d j k * g j k) + (s j k - product j (d j k) (g j k))) by ring.
      eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
  - intros j k Hj Hk Hz. assert (Hj' : (j < N)%nat) by lia. destruct (rounded L j Hj') as (_ & _ & _ & _ & Hg).
    rewrite (proj2 (Nat.eqb_eq _ _) Hj) in Hg. assert (Bu := B2 j k Hj Hk Hz).
    assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj.
    destruct (u_lemma L j (z j k) (p (S j) k) (y k) Hj Hz (Near j k Hj' Hk' Hz)) as (a & Ha & F).
    { eapply Rle_trans; [apply norm_coordinate; exact Hk | exact Hy]. }
    exists a. split; [exact Ha |]. rewrite Hj in F. set (v := uhat (if direct then z j k else p N k - rho * y k)) in *.
    replace (g j k - (phi (a - rho * y k) - sigma * y k)) with
      ((v - phi (a - rho * y k)) + (g j k - (v - sigma * y k))) by ring.
    eapply Rle_trans. apply Rabs_sum2; eassumption. lra.
  - intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. destruct (rounded L j Hj') as (_ & _ & _ & _ & Hg).
    replace (Nat.eqb (S j) N) with false in Hg by (symmetry; apply Nat.eqb_neq; lia).
    eapply Rle_trans; [now apply B3 | exact Hg].
Qed.

End Lemmas.
End Block.
