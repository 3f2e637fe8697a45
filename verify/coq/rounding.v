(* What a block computes in binary64, and why the room that a certificate leaves for rounding is enough. *)
From Coq Require Import Reals List Lra Lia Psatz Permutation ZArith Bool.
From Flocq Require Import Core BinarySingleNaN.
From ICGD Require Import machine.
Import ListNotations.
Open Scope R_scope.

(* A float that is max(0, x). *)
Definition relu_of (x y : float) : Prop := is_finite x = true -> is_finite y = true /\ value_of y = Rmax 0 (value_of x).

(* A sum whose terms are the numbers in l, of floats that are finite if `given`. *)
Definition sums (given : Prop) (t : tree) (l : list R) : Prop := (given -> finite t = true) /\ Permutation (terms t) l.

Lemma relu_near a b e : 0 <= e -> Rabs (a - b) <= e -> Rabs (Rmax 0 a - Rmax 0 b) <= e.
Proof. intros He H. unfold Rmax. destruct (Rle_dec 0 a), (Rle_dec 0 b); apply Rabs_le; unfold Rabs in H; destruct (Rcase_abs (a - b)); lra. Qed.

Lemma sums_ok (given : Prop) t l s k : given -> sums given t l -> sizes l <= s -> 2 * INR (length l) <= k ->
  (1 + u) ^ length l * (s + k * w) < huge ->
  is_finite (eval t) = true /\ Rabs (value_of (eval t) - total l) <= off (length l) k s.
Proof.
  intros G (F & P) Hs Hk H. assert (S := sizes_pos l). assert (W := w_pos). assert (Q := grow (length l) (length l) (Nat.le_refl _)).
  assert (K : INR (2 * length l) = 2 * INR (length l)) by (rewrite mult_INR; simpl; ring).
  assert (K0 := pos_INR (length l)).
  destruct (any_order t l (F G) P) as [A B].
  - eapply Rle_lt_trans; [| exact H]. unfold reach. rewrite K. apply Rmult_le_compat_l; [lra |].
    assert (2 * INR (length l) * w <= k * w) by (apply Rmult_le_compat_r; lra). lra.
  - split; [exact A |]. eapply Rle_trans; [exact B |]. rewrite off_by_off, K. apply off_mono; lia || lra.
Qed.

(** Attention that reads a row: every token's score is the dot product plus an offset, its relu is averaged over all tokens. *)

Definition dot (d : nat) (q v : nat -> R) : list R := map (fun i => q i * v i) (seq 0 d).

(* y is the slot that is read: offset + sum q v, from T tokens, each of which may sum in an order of its own. *)
Definition reads (T d : nat) (q v : nat -> R) (offset : R) (y : float) : Prop :=
  exists (score : nat -> tree) (weight : nat -> float) (mean : tree) (count : float),
  (forall i, (i < T)%nat -> sums True (score i) (offset :: dot d q v) /\ relu_of (eval (score i)) (weight i)) /\
  sums (forall i, (i < T)%nat -> is_finite (weight i) = true) mean (map (fun i => value_of (weight i)) (seq 0 T)) /\
  value_of count = INR T /\ y = Bdiv mode_NE (eval mean) count.

Lemma length_dot d q v : length (dot d q v) = d.
Proof. unfold dot. now rewrite map_length, seq_length. Qed.

Lemma total_map_near (f : nat -> R) x e l : (forall i, In i l -> Rabs (f i - x) <= e) ->
  Rabs (total (map f l) - INR (length l) * x) <= INR (length l) * e.
Proof.
  induction l as [| i l IH]; intros H; cbn [map total length].
  - simpl. rewrite !Rmult_0_l, Rminus_0_r, Rabs_R0. lra.
  - rewrite S_INR. replace (f i + total (map f l) - (INR (length l) + 1) * x) with ((f i - x) + (total (map f l) - INR (length l) * x)) by ring.
    eapply Rle_trans. apply Rabs_triang. assert (A := H i (or_introl eq_refl)). assert (B := IH ltac:(intros; apply H; now right)). lra.
Qed.

Lemma sizes_map_le (f : nat -> R) r l : (forall i, In i l -> Rabs (f i) <= r) -> sizes (map f l) <= INR (length l) * r.
Proof.
  induction l as [| i l IH]; intros H; cbn [map sizes length]; [simpl; lra |]. rewrite S_INR.
  assert (A := H i (or_introl eq_refl)). assert (B := IH ltac:(intros; apply H; now right)). lra.
Qed.

Theorem reads_ok T d q v offset y size Z : (0 < T)%nat -> reads T d q v offset y ->
  sizes (dot d q v) <= size -> Rabs (total (dot d q v)) <= Z -> Z <= offset ->
  INR T * ((1 + u) ^ (T + d + 2) * (offset + size + (2 * INR d + 2 * INR T + 5) * w)) < huge ->
  is_finite y = true /\ Rabs (value_of y - offset - total (dot d q v)) <= off (T + d + 2) (2 * INR d + 5) (offset + size).
Proof.
  intros HT (score & weight & mean & count & Hs & Hm & Hc & Hy) Hsize Hz Hoff Hbig.
  assert (W := w_pos). assert (U := u_pos). set (x := total (dot d q v)) in *. set (s := offset + size) in *.
  assert (O : 0 <= offset) by (eapply Rle_trans; [| exact Hoff]; eapply Rle_trans; [apply Rabs_pos | exact Hz]).
  assert (Sd := sizes_pos (dot d q v)). assert (Td : 1 <= INR T) by (apply (le_INR 1); lia). assert (D0 := pos_INR d).
  set (m := S d). set (k := 2 * INR d + 2). assert (Km : 2 * INR m <= k) by (unfold m, k; rewrite S_INR; lra). assert (Em' : m = S d) by reflexivity.
  set (rho := (1 + u) ^ m * (s + k * w)). assert (S0 : 0 <= s) by (unfold s; lra).
  assert (Pm := grow m (T + d + 2) ltac:(unfold m; lia)). assert (PT := grow T (T + d + 2) ltac:(lia)).
  assert (R0 : 0 <= rho). { unfold rho. apply Rmult_le_pos. lra. unfold k. nra. }
  assert (Kw : 0 <= k * w) by (unfold k; nra).
  assert (E1 : off m k s = rho - s) by reflexivity.
  assert (X0 : 0 <= offset + x). { unfold Rabs in Hz. destruct (Rcase_abs x); lra. }
  set (big := (1 + u) ^ (T + d + 2) * (s + (2 * INR d + 2 * INR T + 5) * w)) in *.
  assert (B0 : rho <= big). { unfold rho, big. apply Rmult_le_compat; try lra. unfold k. nra. }
  assert (Rt : forall i, (i < T)%nat -> is_finite (weight i) = true /\ Rabs (value_of (weight i) - (offset + x)) <= rho - s /\ Rabs (value_of (weight i)) <= rho).
  { intros i Hi. destruct (Hs i Hi) as (Hsum & Hr).
    destruct (sums_ok True (score i) (offset :: dot d q v) s k I Hsum) as [F E].
    - cbn [sizes]. rewrite Rabs_pos_eq by auto. unfold s. lra.
    - cbn [length]. rewrite length_dot. exact Km.
    - cbn [length]. rewrite length_dot. fold m rho. eapply Rle_lt_trans; [exact B0 |]. eapply Rle_lt_trans; [| exact Hbig]. nra.
    - cbn [length total] in E. rewrite length_dot in E. fold m x in E. rewrite E1 in E.
      destruct (Hr F) as [Fw Vw]. split; [exact Fw |]. rewrite Vw.
      assert (N : Rabs (Rmax 0 (value_of (eval (score i))) - Rmax 0 (offset + x)) <= rho - s).
      { apply relu_near; [| exact E]. eapply Rle_trans; [apply Rabs_pos | exact E]. }
      rewrite (Rmax_right 0 (offset + x)) in N by auto. split; [exact N |].
      assert (Xs : offset + x <= s). { unfold s. assert (T1 := total_sizes (dot d q v)). fold x in T1. assert (Hx := Rle_abs x). lra. }
      unfold Rabs in N. destruct (Rcase_abs _); rewrite Rabs_pos_eq by apply Rmax_l; lra. }
  set (l := map (fun i => value_of (weight i)) (seq 0 T)) in *.
  assert (Ll : length l = T) by (unfold l; now rewrite map_length, seq_length).
  assert (Ls : sizes l <= INR T * rho).
  { unfold l. rewrite <- (seq_length T 0) at 2. apply sizes_map_le. intros i Hi. apply in_seq in Hi. apply Rt. lia. }
  assert (Lt : Rabs (total l - INR T * (offset + x)) <= INR T * (rho - s)).
  { unfold l. rewrite <- (seq_length T 0) at 2 3. apply total_map_near. intros i Hi. apply in_seq in Hi. apply Rt. lia. }
  destruct (sums_ok _ mean l (INR T * rho) (2 * INR T) (fun i Hi => proj1 (Rt i Hi)) Hm Ls ltac:(rewrite Ll; lra)) as [Fm Em].
  { rewrite Ll. eapply Rle_lt_trans; [| exact Hbig].
    replace ((1 + u) ^ T * (INR T * rho + 2 * INR T * w)) with (INR T * ((1 + u) ^ T * (rho + 2 * w))) by ring.
    apply Rmult_le_compat_l; [lra |]. unfold big, rho. replace (T + d + 2)%nat with (T + (m + 1))%nat by (unfold m; lia).
    rewrite !pow_add. replace ((1 + u) ^ 1) with (1 + u) by ring. assert (Q : 1 <= (1 + u) ^ m) by lra. assert (Q' : 1 <= (1 + u) ^ T) by lra.
    rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra |].
    apply Rle_trans with ((1 + u) ^ m * (s + (2 * INR d + 2 * INR T + 5) * w)).
    - unfold k. assert (2 * w <= (1 + u) ^ m * (2 * w)) by nra. nra.
    - rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra |]. assert (0 <= s + (2 * INR d + 2 * INR T + 5) * w) by nra. nra. }
  rewrite Ll in Em. set (M := value_of (eval mean)) in *.
  assert (IT : 0 < INR T) by lra. assert (ITi : 0 < / INR T) by now apply Rinv_0_lt_compat.
  set (a := (1 + u) ^ T * (rho + 2 * w) - s).
  assert (Eq : Rabs (M / INR T - (offset + x)) <= a).
  { replace (M / INR T - (offset + x)) with ((M - INR T * (offset + x)) * / INR T) by (field; lra).
    rewrite Rabs_mult, (Rabs_pos_eq (/ INR T)) by lra. apply Rmult_le_reg_r with (INR T); auto. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    replace (M - INR T * (offset + x)) with ((M - total l) + (total l - INR T * (offset + x))) by ring.
    eapply Rle_trans. apply Rabs_triang. unfold off in Em. unfold a. nra. }
  assert (Xs : 0 <= offset + x <= s). { split; auto. unfold s. assert (T1 := total_sizes (dot d q v)). fold x in T1. assert (Hx := Rle_abs x). lra. }
  assert (Rq : Rabs (M / INR T) <= (1 + u) ^ T * (rho + 2 * w)).
  { replace (M / INR T) with ((M / INR T - (offset + x)) + (offset + x)) by ring. eapply Rle_trans. apply Rabs_triang.
    rewrite (Rabs_pos_eq (offset + x)) by lra. unfold a in Eq. lra. }
  assert (Ha : 0 <= a) by (eapply Rle_trans; [apply Rabs_pos | exact Eq]).
  destruct (rounding_step (M / INR T) (offset + x) a _ Eq Rq Ha) as [Ef Sf].
  assert (Last : (1 + u) * ((1 + u) ^ T * (rho + 2 * w)) + w <= (1 + u) ^ (T + d + 2) * (s + (2 * INR d + 5) * w)).
  { unfold rho, k. replace (T + d + 2)%nat with (S (T + m)) by (unfold m; lia). cbn [pow]. rewrite pow_add.
    assert (Q : 1 <= (1 + u) ^ m) by lra. assert (Q' : 1 <= (1 + u) ^ T) by lra. set (A := (1 + u) ^ T) in *. set (B := (1 + u) ^ m) in *.
    replace ((1 + u) * (A * B) * (s + (2 * INR d + 5) * w)) with
      ((1 + u) * (A * (B * (s + (2 * INR d + 2) * w) + B * (2 * w))) + (1 + u) * A * B * w) by ring.
    assert (AB : 1 <= (1 + u) * A * B). { replace 1 with (1 * 1 * 1) by ring. repeat apply Rmult_le_compat; lra. }
    apply Rplus_le_compat; [| rewrite <- (Rmult_1_l w) at 1; apply Rmult_le_compat_r; lra].
    apply Rmult_le_compat_l; [lra |]. apply Rmult_le_compat_l; [lra |]. apply Rplus_le_compat_l. rewrite <- (Rmult_1_l (2 * w)) at 1. apply Rmult_le_compat_r; lra. }
  assert (Hfin : Rabs (round64 (M / INR T)) < huge).
  { eapply Rle_lt_trans; [exact Sf |]. eapply Rle_lt_trans; [exact Last |]. eapply Rle_lt_trans; [| exact Hbig].
    apply Rle_trans with big; [| unfold big in *; nra]. unfold big. apply Rmult_le_compat_l; [lra |]. nra. }
  generalize (Bdiv_correct 53 1024 _ _ mode_NE (eval mean) count). unfold value_of in Hc, M. rewrite Hc. intros Hdiv.
  specialize (Hdiv ltac:(lra)). fold M in Hdiv. change (B2R (eval mean)) with M in Hdiv.
  change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (M / INR T)) with (round64 (M / INR T)) in Hdiv.
  rewrite (below_huge _ Hfin) in Hdiv. destruct Hdiv as (V & Fin & _). rewrite Fm in Fin. subst y. split; [exact Fin |].
  unfold value_of. rewrite V. replace (round64 (M / INR T) - offset - x) with (round64 (M / INR T) - (offset + x)) by ring.
  eapply Rle_trans; [exact Ef |]. unfold a, off. fold s. lra.
Qed.

(** A row of hidden units: relu of a sum each, and the sum of these with their weights and a constant. *)

(* An entry of a matrix that takes arithmetic is off by four roundings of its size. *)
Definition entry (x y : R) : Prop := Rabs (y - x) <= 4 * u * Rabs x.

(* A unit as a machine has it: its score, what the score adds up, its relu, and the weight of that. *)
Record hidden := Hidden { score_of : tree; inputs : list R; out : float; weight_of : R }.

(* The program's unit is c relu(a), where a adds up numbers of sizes sigma in all; L: the most inputs. *)
Definition unit_ok (L : nat) (h : hidden) (p : R * R * R) : Prop :=
  let '(a, sigma, c) := p in
  sums True (score_of h) (inputs h) /\ relu_of (eval (score_of h)) (out h) /\ entry c (weight_of h) /\ (length (inputs h) <= L)%nat /\
  0 <= sigma /\ Rabs a <= sigma /\ Rabs (total (inputs h) - a) <= 4 * u * sigma /\ sizes (inputs h) <= (1 + 4 * u) * sigma.

Definition row (L : nat) (constant : R) (program : list (R * R * R)) (y : float) : Prop :=
  exists (hs : list hidden) (t : tree) (k : R), Forall2 (unit_ok L) hs program /\ entry constant k /\
    sums (Forall (fun h => is_finite (out h) = true) hs) t (k :: map (fun h => weight_of h * value_of (out h)) hs) /\ y = eval t.

Definition row_value (constant : R) (program : list (R * R * R)) : R := constant + total (map (fun '(a, _, c) => c * Rmax 0 a) program).
Definition row_size (constant : R) (program : list (R * R * R)) : R := Rabs constant + total (map (fun '(_, sigma, c) => Rabs c * sigma) program).
Definition row_weights (program : list (R * R * R)) : R := total (map (fun '(_, _, c) => Rabs c) program).

Lemma four n : 1 + 4 * u <= (1 + u) ^ 4 /\ (1 + u) ^ n * (1 + 4 * u) <= (1 + u) ^ (n + 4).
Proof.
  assert (U := u_pos). assert (A : 1 + 4 * u <= (1 + u) ^ 4). { simpl. assert (0 <= u * u) by nra. assert (0 <= u * u * u) by nra. nra. }
  split; auto. rewrite pow_add. apply Rmult_le_compat_l; auto. assert (H := grow n n (Nat.le_refl n)). lra.
Qed.

Lemma entry_size x y : entry x y -> Rabs y <= (1 + 4 * u) * Rabs x.
Proof.
  intros H. replace y with ((y - x) + x) by ring. eapply Rle_trans. apply Rabs_triang. unfold entry in H. lra.
Qed.

(* One unit: finite, and its share of the row off by at most what its size grows by. *)
Lemma unit_near L h p : unit_ok L h p -> let '(a, sigma, c) := p in
  (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w) < huge ->
  is_finite (out h) = true /\
  Rabs (weight_of h * value_of (out h) - c * Rmax 0 a) <= Rabs c * ((1 + u) ^ (L + 8) * (sigma + 2 * INR L * w) - sigma) /\
  Rabs (weight_of h * value_of (out h)) <= Rabs c * ((1 + u) ^ (L + 8) * (sigma + 2 * INR L * w)).
Proof.
  destruct p as [[a sigma] c]. intros (Hs & Hr & He & HL & S0 & Ha & Ht & Hi) Hbig.
  assert (U := u_pos). assert (W := w_pos). assert (L0 := pos_INR L). set (n := length (inputs h)) in *.
  assert (Kw : 0 <= 2 * INR L * w) by nra. destruct (four L) as [F4 F4L]. destruct (four (L + 4)) as [_ F8].
  replace (L + 4 + 4)%nat with (L + 8)%nat in F8 by lia.
  set (eta := (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w)) in *.
  assert (G4 := grow L (L + 4) ltac:(lia)). assert (G8 := grow (L + 4) (L + 8) ltac:(lia)).
  assert (Grow : (1 + u) ^ n * ((1 + 4 * u) * sigma + 2 * INR L * w) <= eta).
  { apply Rle_trans with ((1 + u) ^ L * (1 + 4 * u) * (sigma + 2 * INR L * w)).
    - destruct (grow n L HL). set (K := 2 * INR L * w) in *. rewrite Rmult_assoc.
      assert (P0 : 0 <= (1 + 4 * u) * sigma) by (apply Rmult_le_pos; lra).
      assert (P1 : K <= (1 + 4 * u) * K). { rewrite <- (Rmult_1_l K) at 1. apply Rmult_le_compat_r; lra. }
      apply Rmult_le_compat; lra.
    - unfold eta. apply Rmult_le_compat_r; [lra | exact F4L]. }
  destruct (sums_ok True (score_of h) (inputs h) ((1 + 4 * u) * sigma) (2 * INR L) I Hs Hi) as [F E].
  { fold n. apply le_INR in HL. fold n in HL. lra. }
  { fold n. eapply Rle_lt_trans; [exact Grow | exact Hbig]. }
  fold n in E. unfold off in E. destruct (Hr F) as [Fo Vo].
  set (v := value_of (eval (score_of h))) in *. set (A := Rmax 0 a). assert (A0 : 0 <= A <= sigma).
  { unfold A. split. apply Rmax_l. apply Rmax_lub; auto. eapply Rle_trans; [apply Rle_abs | exact Ha]. }
  assert (N : Rabs (value_of (out h) - A) <= eta - sigma).
  { rewrite Vo. unfold A. assert (Q : Rabs (v - a) <= eta - sigma).
    { replace (v - a) with ((v - total (inputs h)) + (total (inputs h) - a)) by ring. eapply Rle_trans. apply Rabs_triang.
      assert (4 * u * sigma = (1 + 4 * u) * sigma - sigma) by ring. lra. }
    apply relu_near; auto. eapply Rle_trans; [apply Rabs_pos | exact Q]. }
  assert (Sz : Rabs (value_of (out h)) <= eta).
  { replace (value_of (out h)) with ((value_of (out h) - A) + A) by ring. eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq A) by lra. lra. }
  assert (E8 : eta * (1 + 4 * u) <= (1 + u) ^ (L + 8) * (sigma + 2 * INR L * w)).
  { unfold eta. set (K := 2 * INR L * w) in *. rewrite Rmult_assoc, (Rmult_comm (sigma + _)), <- Rmult_assoc. apply Rmult_le_compat_r; [lra | exact F8]. }
  assert (C0 := Rabs_pos c). assert (Ew := entry_size _ _ He). unfold entry in He. split; [exact Fo |]. split.
  - replace (weight_of h * value_of (out h) - c * A) with (c * (value_of (out h) - A) + (weight_of h - c) * value_of (out h)) by ring.
    eapply Rle_trans. apply Rabs_triang. rewrite !Rabs_mult.
    apply Rle_trans with (Rabs c * (eta - sigma) + 4 * u * Rabs c * eta).
    + apply Rplus_le_compat. apply Rmult_le_compat_l; auto. apply Rmult_le_compat; auto using Rabs_pos.
    + replace (Rabs c * (eta - sigma) + 4 * u * Rabs c * eta) with (Rabs c * (eta * (1 + 4 * u) - sigma)) by ring.
      apply Rmult_le_compat_l; auto. lra.
  - rewrite Rabs_mult. apply Rle_trans with ((1 + 4 * u) * Rabs c * eta).
    + apply Rmult_le_compat; auto using Rabs_pos.
    + replace ((1 + 4 * u) * Rabs c * eta) with (Rabs c * (eta * (1 + 4 * u))) by ring. apply Rmult_le_compat_l; auto.
Qed.

Lemma row_near L hs program : Forall2 (unit_ok L) hs program ->
  Forall (fun '(_, sigma, _) => (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w) < huge) program ->
  let G := (1 + u) ^ (L + 8) in let size := total (map (fun '(_, sigma, c) => Rabs c * sigma) program) in
  let terms := map (fun h => weight_of h * value_of (out h)) hs in
  length hs = length program /\ 0 <= size /\ 0 <= row_weights program /\ Forall (fun h => is_finite (out h) = true) hs /\
  Rabs (total terms - total (map (fun '(a, _, c) => c * Rmax 0 a) program)) <= G * (size + 2 * INR L * row_weights program * w) - size /\
  sizes terms <= G * (size + 2 * INR L * row_weights program * w).
Proof.
  intros H. induction H as [| h p hs ps Hp Hps IH]; intros Hbig; cbv zeta; unfold row_weights; cbn [map total sizes length].
  - rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. repeat split; auto; lra.
  - inversion Hbig as [| p0 ps0 Hb Hbs]; subst. destruct (IH Hbs) as (Il & Is & Iw & If & It & Iz). clear IH.
    assert (N := unit_near L h p Hp). destruct p as [[a sigma] c]. destruct (N Hb) as (Nf & Nt & Nz).
    destruct Hp as (_ & _ & _ & _ & S0 & _). unfold row_weights in *. assert (C0 := Rabs_pos c).
    set (G := (1 + u) ^ (L + 8)) in *. set (k := 2 * INR L) in *.
    set (size := total (map (fun '(_, sigma, c) => Rabs c * sigma) ps)) in *.
    set (ws := total (map (fun '(_, _, c) => Rabs c) ps)) in *.
    split; [now rewrite Il |]. split; [nra |]. split; [lra |]. split; [now constructor |]. split.
    + match goal with |- Rabs (?x + ?y - (?p + ?q)) <= _ => replace (x + y - (p + q)) with ((x - p) + (y - q)) by ring end.
      eapply Rle_trans. apply Rabs_triang.
      replace (G * (Rabs c * sigma + size + k * (Rabs c + ws) * w) - (Rabs c * sigma + size)) with
        (Rabs c * (G * (sigma + k * w) - sigma) + (G * (size + k * ws * w) - size)) by ring. lra.
    + replace (G * (Rabs c * sigma + size + k * (Rabs c + ws) * w)) with
        (Rabs c * (G * (sigma + k * w)) + G * (size + k * ws * w)) by ring. lra.
Qed.

Theorem row_ok L constant program y : row L constant program y ->
  Forall (fun '(_, sigma, _) => (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w) < huge) program ->
  let M := length program in let k := 2 * INR L * row_weights program + 2 * INR (S M) in
  (1 + u) ^ (M + L + 9) * (row_size constant program + k * w) < huge ->
  is_finite y = true /\ Rabs (value_of y - row_value constant program) <= off (M + L + 9) k (row_size constant program).
Proof.
  intros (hs & t & k0 & Hh & He & Ht & ->) Hsmall M k Hbig. assert (U := u_pos). assert (W := w_pos).
  destruct (row_near L hs program Hh Hsmall) as (Il & Is & Iw & If & It & Iz). cbv zeta in *.
  set (size := total (map (fun '(_, sigma, c) => Rabs c * sigma) program)) in *.
  set (l := map (fun h => weight_of h * value_of (out h)) hs) in *. set (ws := row_weights program) in *.
  set (G := (1 + u) ^ (L + 8)) in *. assert (G1 : 1 <= G) by (apply (grow (L + 8) (L + 8)); lia).
  assert (G4 : 1 + 4 * u <= G). { destruct (four 0) as [F4 _]. unfold G. destruct (grow 4 (L + 8) ltac:(lia)). lra. }
  unfold row_size, row_value. fold size. assert (K0 := Rabs_pos constant). set (S0 := Rabs constant + size) in *.
  assert (L0 := pos_INR L). assert (M0 := pos_INR (S M)). set (kl := 2 * INR L * ws) in *. assert (Kl : 0 <= kl) by (unfold kl; nra).
  assert (Hk : k = kl + 2 * INR (S M)) by reflexivity.
  assert (Ez := entry_size _ _ He). unfold entry in He.
  assert (Zs : sizes (k0 :: l) <= G * (S0 + kl * w)).
  { cbn [sizes]. replace (G * (S0 + kl * w)) with (G * Rabs constant + G * (size + kl * w)) by (unfold S0; ring).
    apply Rplus_le_compat; [| exact Iz]. eapply Rle_trans; [exact Ez |]. now apply Rmult_le_compat_r. }
  assert (Tt : Rabs (total (k0 :: l) - (constant + total (map (fun '(a, _, c) => c * Rmax 0 a) program))) <= G * (S0 + kl * w) - S0).
  { cbn [total]. match goal with |- Rabs (?x + ?y - (?p + ?q)) <= _ => replace (x + y - (p + q)) with ((x - p) + (y - q)) by ring end.
    eapply Rle_trans. apply Rabs_triang. replace (G * (S0 + kl * w) - S0) with ((G - 1) * Rabs constant + (G * (size + kl * w) - size)) by (unfold S0; ring).
    apply Rplus_le_compat; [| exact It]. eapply Rle_trans; [exact He |]. apply Rmult_le_compat_r; lra. }
  assert (Len : length (k0 :: l) = S M). { cbn [length]. unfold l. rewrite map_length, Il. reflexivity. }
  assert (Gm := grow (S M) (S M) (Nat.le_refl _)).
  assert (Split : (1 + u) ^ (M + L + 9) = (1 + u) ^ S M * G). { unfold G. rewrite <- pow_add. f_equal. lia. }
  assert (All : (1 + u) ^ S M * (G * (S0 + kl * w) + 2 * INR (S M) * w) <= (1 + u) ^ (M + L + 9) * (S0 + k * w)).
  { rewrite Split, Hk. set (K := 2 * INR (S M)) in *. assert (KW : 0 <= K * w) by (apply Rmult_le_pos; unfold K; lra).
    replace ((1 + u) ^ S M * G * (S0 + (kl + K) * w)) with ((1 + u) ^ S M * (G * (S0 + kl * w) + G * (K * w))) by ring.
    apply Rmult_le_compat_l; [lra |]. apply Rplus_le_compat_l. rewrite <- (Rmult_1_l (K * w)) at 1. apply Rmult_le_compat_r; auto. }
  destruct (sums_ok _ t (k0 :: l) (G * (S0 + kl * w)) (2 * INR (S M)) If Ht Zs) as [F E].
  { rewrite Len. lra. }
  { rewrite Len. eapply Rle_lt_trans; [exact All | exact Hbig]. }
  split; [exact F |]. rewrite Len in E. unfold off in E |- *.
  replace (value_of (eval t) - (constant + total (map (fun '(a, _, c) => c * Rmax 0 a) program))) with
    ((value_of (eval t) - total (k0 :: l)) + (total (k0 :: l) - (constant + total (map (fun '(a, _, c) => c * Rmax 0 a) program)))) by ring.
  eapply Rle_trans. apply Rabs_triang. fold S0 in Hbig |- *. lra.
Qed.
