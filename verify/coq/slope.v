(* A loss slope that stands in a slot, in binary64: a sum of ReLUs of z, less sigma y, in one sum. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From Flocq Require Import Core.
From ICGD Require Import vectors calculus block sums formulas certificate proof machine rounding floats.
Import ListNotations.
Open Scope R_scope.

(* A hidden unit weight relu(t) that reads one slot as it is. *)
Definition plain_unit (t weight : R) (h : hidden) : Prop :=
  rounding.sums True (score_of h) [t] /\ inputs h = [t] /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = weight.

(* g: the units of slot_row on x, and - sigma relu(y) + sigma relu(-y), with a constant. *)
Definition slope_row (offset sigma x y : R) (v : relus) (g : R) : Prop :=
  exists (hs : list hidden) (over under : hidden) (t : tree) (k : R),
    Forall2 (slot_unit offset x) hs (reals_of v) /\ plain_unit y (- sigma) over /\ plain_unit (- y) sigma under /\ entry (constant_of v) k /\
    let all := hs ++ [over; under] in
    rounding.sums (Forall (fun h => BinarySingleNaN.is_finite (out h) = true) all) t (k :: map (fun h => weight_of h * value_of (out h)) all) /\
    g = value_of (eval t).

Open Scope Q_scope.
Definition slope_fits (w : relus) (sigma By range above room : Q) : bool :=
  let M := (length (units w) + 2)%nat in let far := range + 2 * above in
  let size := Qabs (constant w # weights w) + (far * weights_size w + biases_size w + 2 * sigma * By) in
  let k := 4 * (weights_size w + 2 * sigma) + 2 * of_nat (S M) in
  le 0 range && le 0 above && le 0 sigma && le 0 By && fits_in (M + 11) k size room && stays_finite 1 (M + 11) k size &&
  stays_finite 1 6 4 (far + largest_bias w) && stays_finite 1 6 4 By.
Close Scope Q_scope.

Definition slope_program (offset range t sigma By y : R) (v : relus) : list (R * R * R) :=
  row_program offset range t v ++ [(y, By, - sigma); (- y, By, sigma)].

Lemma slope_program_value offset range t sigma By y v :
  row_value (constant_of v) (slope_program offset range t sigma By y v) = sum_of v t - sigma * y.
Proof.
  rewrite <- (sum_of_row offset range). unfold row_value, slope_program. rewrite map_app, total_app. cbn [map total].
  unfold Rmax. destruct (Rle_dec 0 y), (Rle_dec 0 (- y)); try lra. replace y with 0 by lra. ring.
Qed.

Lemma slope_row_row offset range sigma By x y v g : 0 <= offset -> 0 <= sigma -> Rabs y <= By -> Rabs (x - offset) <= range -> slope_row offset sigma x y v g ->
  exists f, g = value_of f /\ row 2 (constant_of v) (slope_program offset range (x - offset) sigma By y v) f.
Proof.
  intros Ho Hs Hy Hx (hs & over & under & t & k & Hu & (So & Io & Ro & Wo) & (Su & Iu & Ru & Wu) & Hk & Ht & ->). cbv zeta in Ht.
  exists (eval t). split; [reflexivity |]. exists (hs ++ [over; under]), t, k. split; [| split; [exact Hk | split; [exact Ht | reflexivity]]].
  apply Forall2_app.
  - now apply slot_units_ok.
  - assert (U := u_pos). assert (Y0 := Rabs_pos y).
    assert (One : forall t c h, rounding.sums True (score_of h) [t] -> inputs h = [t] -> relu_of (eval (score_of h)) (out h) -> weight_of h = c -> Rabs t <= By -> unit_ok 2 h (t, By, c)).
    { intros t0 c h S I Rl Wt B. unfold unit_ok. rewrite I. cbn [total sizes length]. replace (t0 + 0 - t0) with 0 by ring. rewrite Rabs_R0. unfold entry. rewrite Wt, Rminus_diag_eq, Rabs_R0 by reflexivity.
      assert (C := Rabs_pos c). split; [exact S |]. split; [exact Rl |]. split; [nra |]. split; [lia |]. split; [lra |]. split; [exact B |]. split; [nra |]. nra. }
    apply Forall2_cons; [now apply One |]. apply Forall2_cons; [apply One; auto; now rewrite Rabs_Ropp | apply Forall2_nil].
Qed.

Theorem slope_room w sigma By range above room x y g : slope_fits w sigma By range above room = true -> Rabs (x - Q2R above) <= Q2R range -> Rabs y <= Q2R By ->
  slope_row (Q2R above) (Q2R sigma) x y w g -> Rabs (g - (sum_of w (x - Q2R above) - Q2R sigma * y)) <= Q2R room.
Proof.
  intros H Hx Hy Hg. unfold slope_fits in H. cbv zeta in H. apply andb_true_iff in H; destruct H as [H Hsmall']. apply andb_true_iff in H; destruct H as [H Hsmall]. apply andb_true_iff in H; destruct H as [H Hbig].
  apply andb_true_iff in H; destruct H as [H Hf]. apply andb_true_iff in H; destruct H as [H HB]. apply andb_true_iff in H; destruct H as [H Hs]. apply andb_true_iff in H; destruct H as [Hr Ho].
  apply Qle_R in Hr, Ho, Hs, HB. rewrite RMicromega.Q2R_0 in Hr, Ho, Hs, HB.
  apply fits_in_ok in Hf. apply stays_finite_ok in Hbig, Hsmall, Hsmall'. destruct Hf as (Hk & Hsz & Hroom).
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). assert (E4 : Q2R 4 = 4) by (unfold Q2R; simpl; lra).
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?of_nat_ok, ?Q2R_abs, ?E1, ?E2, ?E4 in *.
  destruct (slope_row_row (Q2R above) (Q2R range) (Q2R sigma) (Q2R By) x y w g Ho Hs Hy Hx Hg) as (f & -> & Hrow).
  assert (Len : length (slope_program (Q2R above) (Q2R range) (x - Q2R above) (Q2R sigma) (Q2R By) y w) = (length (units w) + 2)%nat).
  { unfold slope_program. rewrite app_length, row_program_length. reflexivity. }
  assert (Wts : row_weights (slope_program (Q2R above) (Q2R range) (x - Q2R above) (Q2R sigma) (Q2R By) y w) = Q2R (weights_size w) + 2 * Q2R sigma).
  { rewrite <- (row_weights_of (Q2R above) (Q2R range) (x - Q2R above)). unfold slope_program, row_weights. rewrite map_app, total_app. cbn [map total]. rewrite Rabs_Ropp, (Rabs_pos_eq (Q2R sigma)) by exact Hs. ring. }
  assert (Sz : row_size (constant_of w) (slope_program (Q2R above) (Q2R range) (x - Q2R above) (Q2R sigma) (Q2R By) y w) =
    Rabs (constant_of w) + ((Q2R range + 2 * Q2R above) * Q2R (weights_size w) + Q2R (biases_size w) + 2 * Q2R sigma * Q2R By)).
  { assert (S := row_size_of (Q2R above) (Q2R range) (x - Q2R above) w). unfold row_size in *. unfold slope_program. rewrite map_app, total_app. cbn [map total].
    rewrite Rabs_Ropp, (Rabs_pos_eq (Q2R sigma)) by exact Hs. lra. }
  destruct (row_ok 2 _ _ f Hrow) as [_ E].
  - change (2 + 4)%nat with 6%nat. unfold slope_program. apply Forall_app. split.
    + apply row_program_sizes; auto. simpl (INR 2). replace (2 * (1 + 1)) with 4 by ring. lra.
    + simpl (INR 2). replace (2 * (1 + 1)) with 4 by ring. repeat constructor; lra.
  - rewrite Len, Wts, Sz. replace (length (units w) + 2 + 2 + 9)%nat with (length (units w) + 2 + 11)%nat by lia.
    simpl (INR 2). replace (2 * (1 + 1)) with 4 by ring. unfold constant_of. rewrite Rmult_1_l in Hbig. exact Hbig.
  - cbv zeta in E. rewrite Len, Wts, Sz, slope_program_value in E.
    replace (length (units w) + 2 + 2 + 9)%nat with (length (units w) + 2 + 11)%nat in E by lia.
    simpl (INR 2) in E. replace (2 * (1 + 1)) with 4 in E by ring. unfold constant_of in E. eapply Rle_trans; [exact E | exact Hroom].
Qed.

(** The slope of the squared loss, q (z - rho y), and huber's, which cuts z - rho y off, at a linear output: a sum of ReLUs of both slots. *)

Definition line_sum (q : Q) : relus := Relus 1 (Qden q) 0 [(true, 0, Qnum q); (false, 0, - Qnum q)]%Z 1 0.
Definition clip_sum : relus := Relus 2 2 (-1) [(true, 1, 2); (true, -1, -2)]%Z 1 0.

(* The sum of ReLUs that is phi itself. *)
Definition own_sum (s : certificate.slope) : option relus :=
  match s with Clip => Some clip_sum | Smooth (Times (formulas.Num q) Var) => Some (line_sum q) | _ => None end.

Lemma own_sum_ok s w t : own_sum s = Some w -> sum_of w t = slope_value s t.
Proof.
  destruct s as [[| | | | [| q | | | | |] [| | | | | |] | |] |]; try discriminate; intros E; injection E as <-; unfold sum_of, relu_sum; cbn.
  - assert (E0 : forall d, Q2R (0 # d) = 0) by (intros d; unfold Q2R; cbn [Qnum Qden]; ring).
    assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (Em : Q2R (-1) = -1) by (unfold Q2R; simpl; lra).
    assert (En : Q2R (- Qnum q # Qden q) = - Q2R q) by (unfold Q2R; cbn [Qnum Qden]; rewrite opp_IZR; ring).
    assert (Eq : Q2R (Qnum q # Qden q) = Q2R q) by (destruct q; reflexivity).
    rewrite !E0, E1, Em, En, Eq. unfold Rmax. destruct (Rle_dec 0 (1 * t + 0)), (Rle_dec 0 (-1 * t + 0)); try lra.
    replace t with 0 by lra. ring.
  - unfold clip, Q2R. cbn [Qnum Qden]. rewrite ?Rinv_1. unfold Rmax, Rmin. repeat destruct (Rle_dec _ _); lra.
Qed.

(* A hidden unit c relu(a (t - rho y) + b) of t = x - offset, in a slot with an offset, and of y. *)
Definition two_slot_unit (offset rho x y : R) (h : hidden) (p : R * R * R) : Prop :=
  let '(a, b, c) := p in
  rounding.sums True (score_of h) (inputs h) /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = c /\
  exists by_y bias, inputs h = [a * x; by_y * y; bias] /\ entry (- (a * rho)) by_y /\ Rabs (bias - (b - a * offset)) <= 4 * u * (Rabs b + Rabs (a * offset)).

Definition difference_row (offset rho x y : R) (v : relus) (g : R) : Prop :=
  exists (hs : list hidden) (t : tree) (k : R), Forall2 (two_slot_unit offset rho x y) hs (reals_of v) /\ entry (constant_of v) k /\
    rounding.sums (Forall (fun h => BinarySingleNaN.is_finite (out h) = true) hs) t (k :: map (fun h => weight_of h * value_of (out h)) hs) /\
    g = value_of (eval t).

Open Scope Q_scope.
Definition difference_fits (w : relus) (rho By range above room : Q) : bool :=
  let M := length (units w) in let far := range + rho * By + 2 * above in
  let size := Qabs (constant w # weights w) + (far * weights_size w + biases_size w) in
  let k := 6 * weights_size w + 2 * of_nat (S M) in
  le 0 range && le 0 above && le 0 rho && le 0 By && fits_in (M + 12) k size room && stays_finite 1 (M + 12) k size &&
  stays_finite 1 7 6 (far + largest_bias w).
Close Scope Q_scope.

Lemma two_slot_unit_ok offset range rho By x y h a b c : 0 <= offset -> 0 <= rho -> Rabs y <= By -> Rabs (x - offset) <= range -> Rabs a = 1 ->
  two_slot_unit offset rho x y h (a, b, c) -> unit_ok 3 h (a * (x - offset - rho * y) + b, range + rho * By + 2 * offset + Rabs b, c).
Proof.
  intros Ho Hq Hy Hx Sp (Hs & Hr & Hw & by_y & bias & Hi & He & Hb). assert (U := u_pos). assert (R0 : 0 <= range) by (eapply Rle_trans; [apply Rabs_pos | exact Hx]).
  assert (Y0 := Rabs_pos y). assert (QB : rho * Rabs y <= rho * By) by now apply Rmult_le_compat_l. assert (QB0 : 0 <= rho * Rabs y) by now apply Rmult_le_pos.
  assert (B0 := Rabs_pos b). rewrite (Rabs_mult a offset), Sp, Rmult_1_l, (Rabs_pos_eq offset) in Hb by exact Ho.
  assert (Aq : Rabs (- (a * rho)) = rho) by (rewrite Rabs_Ropp, Rabs_mult, Sp, Rabs_pos_eq; lra).
  assert (Ey := entry_size _ _ He). unfold entry in He. rewrite Aq in He, Ey.
  assert (Ax : Rabs (a * x) <= range + offset).
  { rewrite Rabs_mult, Sp, Rmult_1_l. replace x with ((x - offset) + offset) by ring. eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq offset) by exact Ho. lra. }
  assert (Ao : Rabs (a * offset) <= offset) by (rewrite Rabs_mult, Sp, Rmult_1_l, Rabs_pos_eq; lra).
  unfold unit_ok. split; [exact Hs |]. split; [exact Hr |]. split; [| split; [| split; [| split; [| split]]]].
  - unfold entry. rewrite Hw, Rminus_diag_eq, Rabs_R0 by reflexivity. assert (C := Rabs_pos c). nra.
  - rewrite Hi. simpl. lia.
  - lra.
  - eapply Rle_trans. apply Rabs_triang. apply Rplus_le_compat_r. rewrite Rabs_mult, Sp, Rmult_1_l. unfold Rminus at 1. eapply Rle_trans. apply Rabs_triang.
    rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq rho) by exact Hq. lra.
  - rewrite Hi. cbn [total]. replace (a * x + (by_y * y + (bias + 0)) - (a * (x - offset - rho * y) + b)) with ((by_y - - (a * rho)) * y + (bias - (b - a * offset))) by ring.
    eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult.
    assert (Rabs (by_y - - (a * rho)) * Rabs y <= 4 * u * rho * Rabs y) by now apply Rmult_le_compat_r.
    assert (4 * u * (rho * Rabs y + (Rabs b + offset)) <= 4 * u * (range + rho * By + 2 * offset + Rabs b)) by (apply Rmult_le_compat_l; lra). lra.
  - rewrite Hi. cbn [sizes]. rewrite (Rabs_mult by_y).
    assert (Rabs by_y * Rabs y <= (1 + 4 * u) * rho * Rabs y) by now apply Rmult_le_compat_r.
    assert (Bs : Rabs bias <= (1 + 4 * u) * (Rabs b + offset)).
    { replace bias with ((bias - (b - a * offset)) + (b + - (a * offset))) by ring. eapply Rle_trans. apply Rabs_triang.
      assert (T := Rabs_triang b (- (a * offset))). rewrite Rabs_Ropp in T. lra. }
    assert ((1 + 4 * u) * ((range + offset) + rho * Rabs y + (Rabs b + offset)) <= (1 + 4 * u) * (range + rho * By + 2 * offset + Rabs b)) by (apply Rmult_le_compat_l; lra).
    assert (range + offset <= (1 + 4 * u) * (range + offset)) by nra. lra.
Qed.

Lemma two_slot_units_ok offset range rho By x y hs v : 0 <= offset -> 0 <= rho -> Rabs y <= By -> Rabs (x - offset) <= range ->
  Forall2 (two_slot_unit offset rho x y) hs (reals_of v) -> Forall2 (unit_ok 3) hs (row_program offset (range + rho * By) (x - offset - rho * y) v).
Proof.
  intros Ho Hq Hy Hx Hu. assert (Signs := signs_of_reals v). unfold row_program. induction Hu as [| h p hs' ps Hp Hps IH]; cbn [map]; constructor.
  - destruct p as [[a b] c]. inversion Signs; subst. now apply two_slot_unit_ok.
  - apply IH. inversion Signs; auto.
Qed.

Theorem difference_room w rho By range above room x y g : difference_fits w rho By range above room = true ->
  Rabs (x - Q2R above) <= Q2R range -> Rabs y <= Q2R By -> difference_row (Q2R above) (Q2R rho) x y w g ->
  Rabs (g - sum_of w (x - Q2R above - Q2R rho * y)) <= Q2R room.
Proof.
  intros H Hx Hy (hs & t & k0 & Hu & Hk0 & Ht & ->). unfold difference_fits in H. cbv zeta in H. apply andb_true_iff in H; destruct H as [H Hsmall]. apply andb_true_iff in H; destruct H as [H Hbig].
  apply andb_true_iff in H; destruct H as [H Hf]. apply andb_true_iff in H; destruct H as [H HB]. apply andb_true_iff in H; destruct H as [H Hq]. apply andb_true_iff in H; destruct H as [Hr Ho].
  apply Qle_R in Hr, Ho, Hq, HB. rewrite RMicromega.Q2R_0 in Hr, Ho, Hq, HB.
  apply fits_in_ok in Hf. apply stays_finite_ok in Hbig, Hsmall. destruct Hf as (Hk & Hsz & Hroom).
  assert (E1 : Q2R 1 = 1) by apply RMicromega.Q2R_1. assert (E2 : Q2R 2 = 2) by (unfold Q2R; simpl; lra). assert (E6 : Q2R 6 = 6) by (unfold Q2R; simpl; lra).
  rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult, ?of_nat_ok, ?Q2R_abs, ?E1, ?E2, ?E6 in *.
  assert (I3 : 2 * INR 3 = 6) by (simpl; lra).
  assert (RB : 0 <= Q2R range + Q2R rho * Q2R By) by (assert (0 <= Q2R rho * Q2R By) by (now apply Rmult_le_pos); lra).
  assert (Hrow : row 3 (constant_of w) (row_program (Q2R above) (Q2R range + Q2R rho * Q2R By) (x - Q2R above - Q2R rho * y) w) (eval t)).
  { exists hs, t, k0. split; [now apply two_slot_units_ok |]. split; [exact Hk0 | split; [exact Ht | reflexivity]]. }
  destruct (row_ok 3 _ _ _ Hrow) as [_ E].
  - rewrite I3. change (3 + 4)%nat with 7%nat. apply row_program_sizes; auto. lra.
  - rewrite row_program_length, row_weights_of, row_size_of, I3. replace (length (units w) + 3 + 9)%nat with (length (units w) + 12)%nat by lia.
    unfold constant_of. rewrite Rmult_1_l in Hbig. exact Hbig.
  - cbv zeta in E. rewrite row_program_length, row_weights_of, row_size_of, sum_of_row, I3 in E.
    replace (length (units w) + 3 + 9)%nat with (length (units w) + 12)%nat in E by lia. unfold constant_of in E. eapply Rle_trans; [exact E | exact Hroom].
Qed.
