(* Back-propagation is the gradient: the derivative of the loss on n examples with respect to each weight is the mean of s p / 2. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Coquelicot Require Import Coquelicot.
From ICGD Require Import vectors calculus block.
Open Scope R_scope.
Notation sum := vectors.sum.

(* The network: what it computes in coordinate k of layer j. *)
Fixpoint network (dim : nat -> nat) (act : nat -> R -> R) (V : nat -> nat -> nat -> R) (x : nat -> R) (j : nat) : nat -> R :=
  match j with O => x | S j => fun k => act j (sum (dim j) (fun i => V j k i * network dim act V x j i)) end.

(* V with v for one of its entries. *)
Definition with_entry (V : nat -> nat -> nat -> R) (j0 k0 i0 : nat) (v : R) (j k i : nat) : R :=
  if Nat.eqb j j0 && Nat.eqb k k0 && Nat.eqb i i0 then v else V j k i.

(* Half the mean loss of n examples. *)
Definition loss_of (N : nat) (dim : nat -> nat) (act : nat -> R -> R) (ell : R -> R -> R) (n : nat) (X Y : nat -> nat -> R) (V : nat -> nat -> nat -> R) : R :=
  / INR n * sum n (fun t => sum (dim N) (fun k => ell (network dim act V (X t) N k) (Y t k)) / 2).

Lemma sum_derive n (f : R -> nat -> R) (f' : nat -> R) v : (forall i, (i < n)%nat -> is_derive (fun v => f v i) v (f' i)) ->
  is_derive (fun v => sum n (f v)) v (sum n f').
Proof.
  induction n as [| n IH]; intros H; cbn [vectors.sum].
  - apply (is_derive_const 0).
  - apply (is_derive_plus (fun v => sum n (f v)) (fun v => f v n)); auto.
Qed.

Lemma sum_swap n m (f : nat -> nat -> R) : sum n (fun i => sum m (f i)) = sum m (fun j => sum n (fun i => f i j)).
Proof.
  induction n as [| n IH]; cbn [vectors.sum].
  - induction m as [| m IH]; cbn [vectors.sum]; lra.
  - rewrite IH, <- sum_plus. reflexivity.
Qed.

Section One.
Variables (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R) (phi : R -> R) (rho sigma : R) (x y : nat -> R).
Variables p z g s : nat -> nat -> R.
Hypothesis pass : exact_pass N dim V act dact phi rho sigma x y p z g s.
Hypothesis act_derive : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> is_derive (act j) (z j k) (dact j (z j k)).
Variables j0 k0 i0 : nat.
Hypothesis here : (j0 < N)%nat /\ (k0 < dim (S j0))%nat /\ (i0 < dim j0)%nat.

Definition hit (j k i : nat) : R := if Nat.eqb j j0 && Nat.eqb k k0 && Nat.eqb i i0 then 1 else 0.
Definition v0 : R := V j0 k0 i0.
Definition moved (v : R) : nat -> nat -> nat -> R := with_entry V j0 k0 i0 v.

Lemma moved_v0 j k i : moved v0 j k i = V j k i.
Proof.
  unfold moved, with_entry, v0. destruct (Nat.eqb_spec j j0) as [-> |]; [| reflexivity]. destruct (Nat.eqb_spec k k0) as [-> |]; [| reflexivity].
  destruct (Nat.eqb_spec i i0) as [-> |]; reflexivity.
Qed.

Lemma moved_derive j k i v : is_derive (fun v => moved v j k i) v (hit j k i).
Proof. unfold moved, with_entry, hit. destruct (Nat.eqb j j0 && Nat.eqb k k0 && Nat.eqb i i0); [apply (is_derive_id v) | apply (is_derive_const (V j k i))]. Qed.

Lemma network_p j : (j <= N)%nat -> forall k, (k < dim j)%nat -> network dim act (moved v0) x j k = p j k.
Proof.
  destruct pass as (E0 & E1 & _). induction j as [| j IH]; intros Hj k Hk; cbn [network]; [symmetry; now apply E0 |].
  destruct (E1 j k ltac:(lia) Hk) as (Ez & -> & _). rewrite Ez. f_equal. apply sum_ext. intros i Hi. rewrite moved_v0, IH by (lia || auto). reflexivity.
Qed.

(* How fast coordinate k of layer j moves. *)
Fixpoint speed (j : nat) : nat -> R :=
  match j with O => fun _ => 0 | S j => fun k => dact j (z j k) * sum (dim j) (fun i => hit j k i * p j i + V j k i * speed j i) end.

Lemma network_derive j : (j <= N)%nat -> forall k, (k < dim j)%nat -> is_derive (fun v => network dim act (moved v) x j k) v0 (speed j k).
Proof.
  destruct pass as (E0 & E1 & _). induction j as [| j IH]; intros Hj k Hk; cbn [network speed]; [apply (is_derive_const (x k)) |].
  set (a := fun v => sum (dim j) (fun i => moved v j k i * network dim act (moved v) x j i)).
  assert (Da : is_derive a v0 (sum (dim j) (fun i => hit j k i * p j i + V j k i * speed j i))).
  { apply (sum_derive (dim j) (fun v i => moved v j k i * network dim act (moved v) x j i)). intros i Hi.
    rewrite <- (network_p j ltac:(lia) i Hi), <- (moved_v0 j k i).
    apply (is_derive_mult (fun v => moved v j k i) (fun v => network dim act (moved v) x j i)); [apply moved_derive | apply IH; lia || auto | intros; apply Rmult_comm]. }
  assert (Az : a v0 = z j k).
  { destruct (E1 j k ltac:(lia) Hk) as (-> & _). unfold a. apply sum_ext. intros i Hi. rewrite moved_v0, network_p by (lia || auto). reflexivity. }
  rewrite Rmult_comm. apply (is_derive_comp (act j) a v0); [| exact Da]. rewrite Az. apply act_derive; lia || auto.
Qed.

Lemma speed_below j k : (j <= j0)%nat -> speed j k = 0.
Proof.
  revert k. induction j as [| j IH]; intros k Hj; cbn [speed]; [reflexivity |].
  rewrite (sum_ext _ _ (fun _ => 0)). { rewrite sum_const. ring. }
  intros i _. rewrite IH by lia. unfold hit. replace (Nat.eqb j j0) with false by (symmetry; apply Nat.eqb_neq; lia). simpl. ring.
Qed.

(* The sum of g times the speeds is the same in every layer from that of the weight on. *)
Lemma pairing m : forall j, j = (j0 + m)%nat -> (j < N)%nat -> sum (dim (S j)) (fun k => g j k * speed (S j) k) = s j0 k0 * p j0 i0.
Proof.
  destruct pass as (_ & E1 & _ & E3). destruct here as (H0 & H1 & H2).
  induction m as [| m IH]; intros j Ej Hj.
  - rewrite Nat.add_0_r in Ej. subst j. destruct (E1 j0 k0 H0 H1) as (_ & _ & ->).
    rewrite (sum_ext _ _ (fun k => (if Nat.eqb k k0 then 1 else 0) * (dact j0 (z j0 k) * g j0 k * p j0 i0))).
    + revert H1. generalize (dim (S j0)) as m. induction m as [| m IHm]; intros Hm; [lia |]. cbn [vectors.sum]. destruct (Nat.eq_dec m k0) as [-> | Hne].
      * rewrite Nat.eqb_refl. rewrite (sum_ext _ _ (fun _ => 0)). { rewrite sum_const. ring. }
        intros k Hk. replace (Nat.eqb k k0) with false by (symmetry; apply Nat.eqb_neq; lia). ring.
      * rewrite IHm by lia. replace (Nat.eqb m k0) with false by (symmetry; apply Nat.eqb_neq; lia). ring.
    + intros k Hk. cbn [speed]. assert (E : sum (dim j0) (fun i => hit j0 k i * p j0 i + V j0 k i * speed j0 i) = (if Nat.eqb k k0 then 1 else 0) * p j0 i0).
      { rewrite (sum_ext _ _ (fun i => (if Nat.eqb i i0 then 1 else 0) * ((if Nat.eqb k k0 then 1 else 0) * p j0 i0))).
        - revert H2. generalize (dim j0) as m. induction m as [| m IHm]; intros Hm; [lia |]. cbn [vectors.sum]. destruct (Nat.eq_dec m i0) as [-> | Hne].
          + rewrite Nat.eqb_refl. rewrite (sum_ext _ _ (fun _ => 0)). { rewrite sum_const. ring. }
            intros i Hi. replace (Nat.eqb i i0) with false by (symmetry; apply Nat.eqb_neq; lia). ring.
          + rewrite IHm by lia. replace (Nat.eqb m i0) with false by (symmetry; apply Nat.eqb_neq; lia). ring.
        - intros i Hi. rewrite speed_below by lia. unfold hit. rewrite Nat.eqb_refl. destruct (Nat.eqb k k0), (Nat.eqb_spec i i0) as [-> |]; simpl; ring. }
      rewrite E. ring.
  - destruct j as [| j]; [lia |]. rewrite <- (IH j ltac:(lia) ltac:(lia)).
    rewrite (sum_ext _ _ (fun l => sum (dim (S j)) (fun k => s (S j) l * V (S j) l k * speed (S j) k))).
    + rewrite sum_swap. apply sum_ext. intros k Hk. rewrite (E3 j k Hj Hk), (Rmult_comm (sum _ _)), <- sum_scal. apply sum_ext. intros l _. ring.
    + intros l Hl. destruct (E1 (S j) l Hj Hl) as (_ & _ & ->). cbn [speed]. rewrite <- sum_scal, <- sum_scal. apply sum_ext. intros k Hk.
      unfold hit. replace (Nat.eqb (S j) j0) with false by (symmetry; apply Nat.eqb_neq; lia). simpl andb. cbv iota. fold (speed (S j) k). cbn [speed]. ring.
Qed.

Variable ell : R -> R -> R.
Hypothesis slope : forall a b, is_derive (fun a => ell a b) a (phi (a - rho * b) - sigma * b).

Theorem one_example : is_derive (fun v => sum (dim N) (fun k => ell (network dim act (moved v) x N k) (y k))) v0 (s j0 k0 * p j0 i0).
Proof.
  destruct here as (H0 & _). destruct pass as (_ & _ & E2 & _). destruct N as [| M] eqn:EN; [lia |]. rewrite <- EN in *.
  rewrite <- (pairing (M - j0) M ltac:(lia) ltac:(lia)). rewrite <- EN.
  apply (sum_derive (dim N) (fun v k => ell (network dim act (moved v) x N k) (y k))). intros k Hk.
  rewrite (E2 M k (eq_sym EN) Hk), Rmult_comm.
  apply (is_derive_comp (fun a => ell a (y k)) (fun v => network dim act (moved v) x N k) v0); [| apply network_derive; auto].
  rewrite network_p by auto. apply slope.
Qed.
End One.

Theorem gradient_is (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact : nat -> R -> R) (phi : R -> R) (rho sigma : R) (ell : R -> R -> R)
    (n : nat) (X Y : nat -> nat -> R) (p z g s : nat -> nat -> nat -> R) :
  (forall a b, is_derive (fun a => ell a b) a (phi (a - rho * b) - sigma * b)) ->
  (forall t, (t < n)%nat -> exact_pass N dim V act dact phi rho sigma (X t) (Y t) (p t) (z t) (g t) (s t) /\
     forall j k, (j < N)%nat -> (k < dim (S j))%nat -> is_derive (act j) (z t j k) (dact j (z t j k))) ->
  forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat ->
    is_derive (fun v => loss_of N dim act ell n X Y (with_entry V j k i v)) (V j k i) (/ INR n * sum n (fun t => s t j k * p t j i / 2)).
Proof.
  intros Hl Ht j k i Hj Hk Hi. unfold loss_of.
  apply (is_derive_scal (fun v => sum n (fun t => sum (dim N) (fun l => ell (network dim act (with_entry V j k i v) (X t) N l) (Y t l)) / 2))).
  apply (sum_derive n (fun v t => sum (dim N) (fun l => ell (network dim act (with_entry V j k i v) (X t) N l) (Y t l)) / 2)). intros t Hn.
  destruct (Ht t Hn) as [Pass Da]. unfold Rdiv. rewrite (Rmult_comm _ (/ 2)).
  apply (is_derive_ext (fun v => / 2 * sum (dim N) (fun l => ell (network dim act (with_entry V j k i v) (X t) N l) (Y t l)))); [intros; apply Rmult_comm |].
  apply (is_derive_scal (fun v => sum (dim N) (fun l => ell (network dim act (with_entry V j k i v) (X t) N l) (Y t l)))).
  exact (one_example N dim V act dact phi rho sigma (X t) (Y t) (p t) (z t) (g t) (s t) Pass Da j k i (conj Hj (conj Hk Hi)) ell Hl).
Qed.
