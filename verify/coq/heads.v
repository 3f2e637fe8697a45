(* A loss slope that attention computes, in binary64 (huber's): a head for each unit, averaged over all tokens, and the sum of the heads. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From Flocq Require Import Core BinarySingleNaN.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding floats slope update.
Import ListNotations.
Open Scope R_scope.

(* A head whose keys are 1: every one of T tokens computes the same unit in an order of its own, and the mean of their shares is taken. *)
Definition head_of (T : nat) (unit : hidden -> Prop) (m : float) : Prop :=
  exists (h : nat -> hidden) (t : tree) (count : float), (forall i, (i < T)%nat -> unit (h i)) /\
    rounding.sums (forall i, (i < T)%nat -> is_finite (out (h i)) = true) t (map (fun i => weight_of (h i) * value_of (out (h i))) (seq 0 T)) /\
    value_of count = INR T /\ m = Bdiv mode_NE (eval t) count.

(* The head of a constant: relu(1). *)
Definition constant_unit (k : R) (h : hidden) : Prop :=
  rounding.sums True (score_of h) (inputs h) /\ inputs h = [1] /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = k.

(* g: a sum of ReLUs of x - rho y, whose units read x and y, and whose heads are added up in any order. *)
Definition heads_row (T : nat) (rho x y : R) (v : relus) (g : R) : Prop :=
  exists (m : float) (ms : list float) (t : tree),
    head_of T (constant_unit (constant_of v)) m /\ Forall2 (fun m p => head_of T (fun h => two_slot_unit 0 rho x y h p) m) ms (reals_of v) /\
    rounding.sums (Forall (fun m => is_finite m = true) (m :: ms)) t (map value_of (m :: ms)) /\ g = value_of (eval t).

Open Scope Q_scope.
Definition heads_fit (w : relus) (T : nat) (rho By range room : Q) : bool :=
  let M := S (length (units w)) in let far := range + rho * By in
  let size := Qabs (constant w # weights w) + (far * weights_size w + biases_size w) in
  let k := 6 * (Qabs (constant w # weights w) + weights_size w) + 5 * of_nat M in
  le 0 range && le 0 rho && le 0 By && fits_in (M + T + 12) k size room && stays_finite (of_nat T) (M + T + 12) k size &&
  stays_finite 1 7 6 (far + largest_bias w) && stays_finite 1 7 6 1.
Close Scope Q_scope.

Lemma head_near L T m a sigma c : (0 < T)%nat -> head_of T (fun h => unit_ok L h (a, sigma, c)) m ->
  (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w) < huge -> 0 <= sigma ->
  let H := (1 + u) ^ (T + L + 9) in let top := H * (Rabs c * sigma + (2 * INR L * Rabs c + 3) * w) in
  INR T * top < huge -> is_finite m = true /\ Rabs (value_of m - c * Rmax 0 a) <= top - Rabs c * sigma /\ Rabs (value_of m) <= top.
Proof.
  intros HT (h & t & count & Hu & Ht & Hc & ->) Hsmall S0 H top Hbig. assert (U := u_pos). assert (W := w_pos). assert (C := Rabs_pos c). assert (L0 := pos_INR L).
  set (G := (1 + u) ^ (L + 8)). assert (G1 : 1 <= G) by (apply (grow (L + 8) (L + 8)); lia).
  set (b := Rabs c * (G * (sigma + 2 * INR L * w))). assert (B0 : 0 <= b). { apply Rmult_le_pos; auto. apply Rmult_le_pos; [lra |]. nra. }
  assert (Each : forall i, (i < T)%nat -> is_finite (out (h i)) = true /\
    Rabs (weight_of (h i) * value_of (out (h i)) - c * Rmax 0 a) <= b - Rabs c * sigma /\ Rabs (weight_of (h i) * value_of (out (h i))) <= b).
  { intros i Hi. destruct (unit_near L (h i) (a, sigma, c) (Hu i Hi) Hsmall) as (F & E & Z). split; [exact F |]. split; [| exact Z].
    eapply Rle_trans; [exact E |]. unfold b, G. lra. }
  assert (P1 : H = (1 + u) ^ (T + 1) * G) by (unfold H, G; rewrite <- pow_add; f_equal; lia).
  assert (Q1 := grow (T + 1) (T + 1) (Nat.le_refl _)). set (q := (1 + u) ^ (T + 1)) in *.
  assert (Top : q * (b + 3 * w) <= top).
  { unfold top. rewrite P1, Rmult_assoc. apply Rmult_le_compat_l; [lra |]. unfold b.
    replace (G * (Rabs c * sigma + (2 * INR L * Rabs c + 3) * w)) with (Rabs c * (G * (sigma + 2 * INR L * w)) + G * (3 * w)) by ring.
    apply Rplus_le_compat_l. rewrite <- (Rmult_1_l (3 * w)) at 1. apply Rmult_le_compat_r; lra. }
  destruct (mean_ok _ T (fun i => weight_of (h i) * value_of (out (h i))) (fun _ => c * Rmax 0 a) (fun _ => Rabs c * sigma) (fun _ => b) t count HT
    (fun i Hi => proj1 (Each i Hi)) Ht Hc (fun i Hi => proj2 (Each i Hi))) as (F & E & Z).
  { rewrite average_const by exact HT. eapply Rle_lt_trans; [| exact Hbig]. apply Rmult_le_compat_l; [apply pos_INR | exact Top]. }
  assert (Mean := fun x => average_const T x HT). rewrite (Mean (c * Rmax 0 a)), (Mean b), (Mean (Rabs c * sigma)) in E. rewrite (Mean b) in Z.
  fold q in E, Z. split; [exact F |]. split; lra.
Qed.

Lemma heads_near L T ms program : (0 < T)%nat -> Forall2 (fun m p => head_of T (fun h => unit_ok L h p) m) ms program ->
  Forall (fun '(_, sigma, _) => 0 <= sigma /\ (1 + u) ^ (L + 4) * (sigma + 2 * INR L * w) < huge) program ->
  let H := (1 + u) ^ (T + L + 9) in let size := total (map (fun '(_, sigma, c) => Rabs c * sigma) program) in
  let top := H * (size + (2 * INR L * row_weights program + 3 * INR (length program)) * w) in
  INR T * top < huge ->
  length ms = length program /\ 0 <= size /\ Forall (fun m => is_finite m = true) ms /\
  Rabs (total (map value_of ms) - total (map (fun '(a, _, c) => c * Rmax 0 a) program)) <= top - size /\ sizes (map value_of ms) <= top.
Proof.
  intros HT Hm. unfold row_weights. assert (T0 := pos_INR T). assert (W := w_pos). assert (L0 := pos_INR L). set (H := (1 + u) ^ (T + L + 9)).
  assert (H1 : 1 <= H) by (apply (grow (T + L + 9) (T + L + 9)); lia).
  induction Hm as [| m [[a sigma] c] ms ps Hp Hps IH]; intros Hsmall; cbv zeta; cbn [map total sizes length].
  - intros _. change (INR 0) with 0. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. repeat split; auto; nra.
  - rewrite S_INR. inversion Hsmall as [| p0 ps0 Hone Hss]; subst. destruct Hone as [S0 Hs]. specialize (IH Hss). cbv zeta in IH. assert (C := Rabs_pos c).
    set (size := total (map (fun '(_, sigma, c) => Rabs c * sigma) ps)) in *. set (ws := total (map (fun '(_, _, c) => Rabs c) ps)) in *.
    set (M := INR (length ps)) in *. assert (M0 : 0 <= M) by apply pos_INR. set (k := 2 * INR L) in *. assert (k0 : 0 <= k) by (unfold k; lra).
    assert (Cs : 0 <= Rabs c * sigma) by now apply Rmult_le_pos.
    assert (Size0 : 0 <= size).
    { unfold size. clear - Hss. induction ps as [| [[a sigma] c] ps IHp]; cbn [map total]; [lra |]. inversion Hss as [| p0 ps0 Hone Hq]; subst. destruct Hone as [S0 _]. specialize (IHp Hq).
      assert (0 <= Rabs c * sigma) by (apply Rmult_le_pos; auto using Rabs_pos). lra. }
    assert (Ws0 : 0 <= ws). { unfold ws. clear. induction ps as [| [[a sigma] c] ps IHp]; cbn [map total]; [lra |]. generalize (Rabs_pos c). lra. }
    set (one := H * (Rabs c * sigma + (k * Rabs c + 3) * w)) in *. set (rest := H * (size + (k * ws + 3 * M) * w)) in *.
    replace (H * (Rabs c * sigma + size + (k * (Rabs c + ws) + 3 * (M + 1)) * w)) with (one + rest) by (unfold one, rest; ring).
    assert (One0 : 0 <= one). { unfold one. apply Rmult_le_pos; [lra |]. assert (0 <= (k * Rabs c + 3) * w) by (apply Rmult_le_pos; [| lra]; assert (0 <= k * Rabs c) by (now apply Rmult_le_pos); lra). lra. }
    assert (Rest0 : 0 <= rest). { unfold rest. apply Rmult_le_pos; [lra |]. assert (0 <= (k * ws + 3 * M) * w) by (apply Rmult_le_pos; [| lra]; assert (0 <= k * ws) by (now apply Rmult_le_pos); lra). lra. }
    intros Hbig. destruct (IH ltac:(nra)) as (Il & _ & If & Ie & Iz).
    destruct (head_near L T m a sigma c HT Hp Hs S0) as (F & E & Z). { fold H k one. nra. }
    fold H k one in E, Z. split; [now rewrite Il |]. split; [lra |]. split; [now constructor |]. split; [| lra].
    match goal with |- Rabs (?x + ?y - (?p + ?q)) <= _ => replace (x + y - (p + q)) with ((x - p) + (y - q)) by ring end.
    eapply Rle_trans; [apply Rabs_triang |]. lra.
Qed.

Theorem heads_room w most_tokens T rho By range room x y g : (0 < T <= most_tokens)%nat -> heads_fit w most_tokens rho By range room = true ->
  Rabs x <= Q2R range -> Rabs y <= Q2R By -> heads_row T (Q2R rho) x y w g -> Rabs (g - sum_of w (x - Q2R rho * y)) <= Q2R room.
Proof.
  intros [HT HM] H Hx Hy (m & ms & t & Hm & Hms & Ht & ->). unfold heads_fit in H. cbv zeta in H. apply andb_true_iff in H; destruct H as [H Hone]. apply andb_true_iff in H; destruct H as [H Hsmall].
  apply andb_true_iff in H; destruct H as [H Hbig]. apply andb_true_iff in H; destruct H as [H Hf]. apply andb_true_iff in H; destruct H as [H HB]. apply andb_true_iff in H; destruct H as [Hr Hq].
  apply Qle_R in Hr, Hq, HB. rewrite RMicromega.Q2R_0 in Hr, Hq, HB.
  apply fits_in_ok in Hf. apply stays_finite_ok in Hbig, Hsmall, Hone. destruct Hf as (Hk & Hsz & Hroom).
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E5 : Q2R 5 = 5) by (unfold Q2R; simpl; lra). assert (E6 : Q2R 6 = 6) by (unfold Q2R; simpl; lra).
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?of_nat_ok, ?Q2R_abs, ?E1, ?E5, ?E6 in *.
  assert (U := u_pos). assert (W := w_pos). assert (I3 : 2 * INR 3 = 6) by (simpl; lra).
  assert (RB : 0 <= Q2R rho * Q2R By) by now apply Rmult_le_pos. set (far := Q2R range + Q2R rho * Q2R By) in *. assert (F0 : 0 <= far) by (unfold far; lra).
  set (k0 := constant_of w) in *. change (Q2R (constant w # weights w)) with k0 in *. assert (K0 := Rabs_pos k0).
  set (program := (1, 1, k0) :: row_program 0 far (x - Q2R rho * y) w).
  assert (Heads : Forall2 (fun m p => head_of T (fun h => unit_ok 3 h p) m) (m :: ms) program).
  { constructor.
    - destruct Hm as (h & t0 & count & Hu & Rest). exists h, t0, count. split; [| exact Rest]. intros i Hi. destruct (Hu i Hi) as (A & B & C & D).
      unfold unit_ok, entry. rewrite B in *. cbn [total sizes length]. rewrite D, Rminus_diag_eq, !Rabs_R1, Rabs_R0 by reflexivity. replace (1 + 0 - 1) with 0 by ring. rewrite Rabs_R0.
      split; [exact A |]. split; [exact C |]. split; [nra |]. split; [lia |]. split; [lra |]. split; [lra |]. split; lra.
    - assert (Signs := signs_of_reals w). unfold row_program. clear Ht. revert Signs. induction Hms as [| m0 p ms0 ps Hp Hps IH]; cbn [map]; intros Signs; constructor.
      + destruct p as [[a b] c]. inversion Signs as [| p0 ps0 Sp Sps]; subst. destruct Hp as (h & t0 & count & Hu & Rest). exists h, t0, count. split; [| exact Rest]. intros i Hi.
        assert (K := two_slot_unit_ok 0 (Q2R range) (Q2R rho) (Q2R By) x y (h i) a b c (Rle_refl 0) Hq Hy). rewrite Rminus_0_r in K. exact (K Hx Sp (Hu i Hi)).
      + apply IH. inversion Signs; auto. }
  assert (Wt : row_weights program = Rabs k0 + Q2R (weights_size w)).
  { rewrite <- (row_weights_of 0 far (x - Q2R rho * y)). reflexivity. }
  assert (Len : length program = S (length (units w))) by (unfold program; cbn [length]; now rewrite row_program_length).
  assert (Sz : total (map (fun '(_, sigma, c) => Rabs c * sigma) program) = Rabs k0 + (far * Q2R (weights_size w) + Q2R (biases_size w))).
  { assert (S := row_size_of 0 far (x - Q2R rho * y) w). unfold row_size in S. fold k0 in S. unfold program. cbn [map total]. rewrite Rmult_1_r. rewrite Rmult_0_r, Rplus_0_r in S. exact S. }
  assert (Val : total (map (fun '(a, _, c) => c * Rmax 0 a) program) = sum_of w (x - Q2R rho * y)).
  { rewrite <- (sum_of_row 0 far). unfold row_value, program. fold k0. cbn [map total]. unfold Rmax. destruct (Rle_dec 0 1); lra. }
  assert (Sigmas : Forall (fun '(_, sigma, _) => 0 <= sigma /\ (1 + u) ^ (3 + 4) * (sigma + 2 * INR 3 * machine.w) < huge) program).
  { rewrite I3. change (3 + 4)%nat with 7%nat. constructor; [split; lra |].
    assert (P := row_program_sizes 0 far (x - Q2R rho * y) w 7 6 F0 (Rle_refl 0)). rewrite Rmult_0_r, Rplus_0_r in P. specialize (P ltac:(lra)).
    unfold row_program in *. rewrite Forall_forall in *. intros [[a sigma] c] Hp. split; [| exact (P _ Hp)].
    apply in_map_iff in Hp. destruct Hp as ([[a' b'] c'] & E & _). injection E as <- <- <-. generalize (Rabs_pos b'). lra. }
  set (size := Rabs k0 + (far * Q2R (weights_size w) + Q2R (biases_size w))) in *. set (M := S (length (units w))) in *.
  assert (M0 := pos_INR M). set (K := 6 * row_weights program + 3 * INR M). assert (EK : 6 * (Rabs k0 + Q2R (weights_size w)) + 5 * INR M = K + 2 * INR M) by (unfold K; rewrite Wt; ring).
  rewrite EK in *. assert (Kpos : 0 <= K). { unfold K, row_weights. assert (P : forall l : list (R * R * R), 0 <= total (map (fun '(_, _, c) => Rabs c) l)).
    { induction l as [| [[? ?] c] l IH]; cbn [map total]; [lra |]. generalize (Rabs_pos c). lra. } generalize (P program). lra. }
  assert (HT' := le_INR _ _ HM). assert (T1 := le_INR 1 T ltac:(lia)). simpl (INR 1) in T1.
  assert (Big : INR T * ((1 + u) ^ (M + (T + 12)) * (size + (K + 2 * INR M) * machine.w)) < huge).
  { apply (stays_mono (INR most_tokens) (M + most_tokens + 12) (K + 2 * INR M)); auto; try lra. lia. }
  set (H := (1 + u) ^ (T + 12)) in *. assert (H1 : 1 <= H) by (apply (grow (T + 12) (T + 12)); lia). rewrite pow_add in Big. fold H in Big.
  assert (Q1 := grow M M (Nat.le_refl _)). set (q := (1 + u) ^ M) in *. assert (KW : 0 <= K * machine.w) by (apply Rmult_le_pos; lra). assert (MW : 0 <= 2 * INR M * machine.w) by (apply Rmult_le_pos; lra).
  assert (All : q * (H * (size + K * machine.w) + 2 * INR M * machine.w) <= q * H * (size + (K + 2 * INR M) * machine.w)).
  { rewrite (Rmult_assoc q H). apply Rmult_le_compat_l; [lra |]. nra. }
  assert (Top0 : 0 <= H * (size + K * machine.w)) by (apply Rmult_le_pos; lra).
  destruct (heads_near 3 T (m :: ms) program HT Heads Sigmas) as (Il & _ & If & Ie & Iz).
  { rewrite I3, Sz, Len. replace (T + 3 + 9)%nat with (T + 12)%nat by lia. fold H K. eapply Rle_lt_trans; [| exact Big]. apply Rmult_le_compat_l; [lra |]. eapply Rle_trans; [| exact All]. nra. }
  rewrite I3, Sz, Len in *. replace (T + 3 + 9)%nat with (T + 12)%nat in * by lia. fold H K in Ie, Iz. rewrite Val in Ie.
  assert (Lm : length (map value_of (m :: ms)) = M) by (rewrite map_length, Il; reflexivity).
  destruct (sums_ok _ t (map value_of (m :: ms)) (H * (size + K * machine.w)) (2 * INR M) If Ht Iz) as [F E].
  { rewrite Lm. lra. }
  { rewrite Lm. fold q. eapply Rle_lt_trans; [exact All |]. eapply Rle_lt_trans; [| exact Big].
    assert (0 <= q * H * (size + (K + 2 * INR M) * machine.w)). { eapply Rle_trans; [| exact All]. apply Rmult_le_pos; lra. } nra. }
  rewrite Lm in E. unfold off in E. fold q in E.
  eapply Rle_trans; [| exact Hroom]. eapply Rle_trans; [| apply (off_mono (M + (T + 12)) (K + 2 * INR M) size); [lia | lra | lra]].
  unfold off. rewrite pow_add. fold q H.
  replace (value_of (eval t) - sum_of w (x - Q2R rho * y)) with ((value_of (eval t) - total (map value_of (m :: ms))) + (total (map value_of (m :: ms)) - sum_of w (x - Q2R rho * y))) by ring.
  eapply Rle_trans; [apply Rabs_triang |]. lra.
Qed.
