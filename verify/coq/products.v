(* Products in binary64: x g as centre g and a difference of two squares, all hidden units of one row. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith Permutation.
From ICGD Require Import vectors sums certificate proof machine rounding floats.
Import ListNotations.
Open Scope R_scope.

(** A factor g of a product is a linear form of slots: numbers v with coefficients f, and a constant. *)
Definition form_sum (fs : list (R * R)) : R := total (map (fun '(v, f) => v * f) fs).
Definition form_size (fs : list (R * R)) : R := total (map (fun '(v, f) => Rabs v * Rabs f) fs).

(* What a row of a matrix holds for q times the form. *)
Definition form_read (q : R) (fs : list (R * R)) (xs : list R) : Prop :=
  Forall2 (fun '(v, f) x => exists e, x = v * e /\ entry (q * f) e) fs xs.

Lemma form_size_pos fs : 0 <= form_size fs.
Proof. unfold form_size. induction fs as [| [v f] fs IH]; cbn [map total]; [lra |]. generalize (Rabs_pos v) (Rabs_pos f). nra. Qed.

Lemma form_sum_size fs : Rabs (form_sum fs) <= form_size fs.
Proof.
  unfold form_sum, form_size. induction fs as [| [v f] fs IH]; cbn [map total]; [rewrite Rabs_R0; lra |].
  eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult. lra.
Qed.

Lemma form_near q fs xs : form_read q fs xs ->
  length xs = length fs /\ Rabs (total xs - q * form_sum fs) <= 4 * u * (Rabs q * form_size fs) /\ sizes xs <= (1 + 4 * u) * (Rabs q * form_size fs).
Proof.
  unfold form_sum, form_size. induction 1 as [| [v f] x fs xs (e & -> & He) H (Il & It & Iz)]; cbn [map total sizes length].
  - rewrite Rmult_0_r, Rminus_0_r, Rabs_R0. repeat split; lra.
  - assert (Ez := entry_size _ _ He). unfold entry in He. rewrite Rabs_mult in He, Ez. assert (V := Rabs_pos v).
    set (A := total (map (fun '(v, f) => v * f) fs)) in *. set (B := total (map (fun '(v, f) => Rabs v * Rabs f) fs)) in *.
    split; [now rewrite Il |]. split.
    + replace (v * e + total xs - q * (v * f + A)) with (v * (e - q * f) + (total xs - q * A)) by ring.
      eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult.
      assert (Rabs v * Rabs (e - q * f) <= Rabs v * (4 * u * (Rabs q * Rabs f))) by now apply Rmult_le_compat_l. lra.
    + rewrite Rabs_mult. assert (Rabs v * Rabs e <= Rabs v * ((1 + 4 * u) * (Rabs q * Rabs f))) by now apply Rmult_le_compat_l. lra.
Qed.

Section Row.
Variables (A B m reach_ : R) (w : relus).      (* the factors, the centre, how far the linear unit reaches *)
Variables (x : R) (fs : list (R * R)) (beta : R).   (* the slot of r', and the form and constant of the other factor *)
Notation g := (form_sum fs + beta).

(* Units of the square with a sign, c relu(a (A (x - m) + sign B g) + b) sign / 4. *)
Definition square_unit (sign : R) (h : hidden) (p : R * R * R) : Prop :=
  let '(a, b, c) := p in
  rounding.sums True (score_of h) (inputs h) /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = sign / 4 * c /\
  exists by_x bias xs, inputs h = by_x * x :: bias :: xs /\ entry (a * A) by_x /\ form_read (a * sign * B) fs xs /\
    Rabs (bias - (a * (sign * B * beta - A * m) + b)) <= 4 * u * (Rabs (B * beta) + Rabs (A * m) + Rabs b).

(* The unit centre relu(g + reach), whose constant is taken off again. *)
Definition linear_unit (h : hidden) : Prop :=
  rounding.sums True (score_of h) (inputs h) /\ relu_of (eval (score_of h)) (out h) /\ weight_of h = m /\
  exists bias xs, inputs h = bias :: xs /\ form_read 1 fs xs /\ Rabs (bias - (beta + reach_)) <= 4 * u * (Rabs beta + Rabs reach_).

(* y: the row, less its constant; with no square, centre g alone. *)
Definition product_row (square : bool) (y : R) : Prop :=
  exists (central plus minus : list hidden) (t : tree) (k : R),
    (if Req_EM_T m 0 then central = [] else exists h, central = [h] /\ linear_unit h) /\
    (if square then Forall2 (square_unit 1) plus (reals_of w) /\ Forall2 (square_unit (-1)) minus (reals_of w) else plus = [] /\ minus = []) /\
    entry (- m * reach_) k /\
    let hs := central ++ plus ++ minus in
    rounding.sums (Forall (fun h => BinarySingleNaN.is_finite (out h) = true) hs) t (k :: map (fun h => weight_of h * value_of (out h)) hs) /\
    y = value_of (eval t).

Variables (D Sg : R).
Hypothesis HA : 0 <= A.
Hypothesis HB : 0 <= B.
Hypothesis Hreach : 0 <= reach_.
Hypothesis Hx : Rabs x <= D.
Hypothesis Hform : form_size fs + Rabs beta <= Sg.
Hypothesis Hlen : (length fs <= 2)%nat.
Notation far := (A * (D + Rabs m) + B * Sg).

Lemma Sg_pos : 0 <= Sg /\ Rabs g <= Sg /\ 0 <= D.
Proof.
  assert (F := form_size_pos fs). assert (G := form_sum_size fs). assert (Bt := Rabs_pos beta). assert (T := Rabs_triang (form_sum fs) beta).
  assert (X := Rabs_pos x). repeat split; lra.
Qed.

Definition square_program (sign : R) : list (R * R * R) :=
  map (fun '(a, b, c) => (a * (A * (x - m) + sign * B * g) + b, far + Rabs b, sign / 4 * c)) (reals_of w).

Lemma square_units_ok sign hs : Rabs sign = 1 -> Forall2 (square_unit sign) hs (reals_of w) -> Forall2 (unit_ok 4) hs (square_program sign).
Proof.
  intros Hsign H. destruct Sg_pos as (S0 & Sgg & D0). assert (U := u_pos). unfold square_program.
  assert (Signs : List.Forall (fun '(a, _, _) => Rabs a = 1) (reals_of w)).
  { unfold reals_of. apply Forall_forall. intros p Hp. apply in_map_iff in Hp. destruct Hp as ([[s b] c'] & <- & _).
    destruct s; cbn [sign_of]; [apply Rabs_R1 |]. rewrite Rabs_left; lra. }
  induction H as [| h p hs' ps Hp Hps IH]; cbn [map]; constructor; [| apply IH; inversion Signs; auto].
  inversion Signs as [| p0 ps0 Sp Sps]; subst. destruct p as [[a b] c']. destruct Hp as (Hs & Hr & Hw & by_x & bias & xs & Hi & Hbx & Hf & Hb).
  destruct (form_near _ _ _ Hf) as (Fl & Ft & Fz).
  assert (Q : Rabs (a * sign * B) = B) by (rewrite !Rabs_mult, Sp, Hsign, (Rabs_pos_eq B); lra). rewrite Q in Ft, Fz.
  assert (Ex := entry_size _ _ Hbx). unfold entry in Hbx. assert (QA : Rabs (a * A) = A) by (rewrite Rabs_mult, Sp, (Rabs_pos_eq A); lra). rewrite QA in Hbx, Ex.
  rewrite (Rabs_mult B beta), (Rabs_mult A m), (Rabs_pos_eq A), (Rabs_pos_eq B) in Hb by assumption.
  assert (F0 := form_size_pos fs). assert (B0 := Rabs_pos b). assert (M0 := Rabs_pos m). assert (X0 := Rabs_pos x). assert (Bt := Rabs_pos beta).
  assert (AD : A * Rabs x <= A * D) by now apply Rmult_le_compat_l.
  assert (BS : B * (form_size fs + Rabs beta) <= B * Sg) by now apply Rmult_le_compat_l.
  unfold unit_ok. split; [exact Hs |]. split; [exact Hr |]. split; [| split; [| split; [| split; [| split]]]].
  - unfold entry. rewrite Hw, Rminus_diag_eq, Rabs_R0 by reflexivity. assert (C := Rabs_pos (sign / 4 * c')). nra.
  - rewrite Hi. cbn [length]. rewrite Fl. lia.
  - assert (0 <= A * (D + Rabs m)) by (apply Rmult_le_pos; lra). assert (0 <= B * Sg) by now apply Rmult_le_pos. lra.
  - eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult, Sp, Rmult_1_l. apply Rplus_le_compat_r.
    eapply Rle_trans. apply Rabs_triang. rewrite !Rabs_mult, Hsign, Rmult_1_l, (Rabs_pos_eq A), (Rabs_pos_eq B) by assumption.
    apply Rplus_le_compat; apply Rmult_le_compat_l; auto. unfold Rminus. eapply Rle_trans. apply Rabs_triang. rewrite Rabs_Ropp. lra.
  - rewrite Hi. cbn [total].
    replace (by_x * x + (bias + total xs) - (a * (A * (x - m) + sign * B * g) + b)) with
      ((by_x - a * A) * x + ((bias - (a * (sign * B * beta - A * m) + b)) + (total xs - a * sign * B * form_sum fs))) by ring.
    eapply Rle_trans. apply Rabs_triang. rewrite Rabs_mult. eapply Rle_trans. apply Rplus_le_compat_l. apply Rabs_triang.
    assert (Rabs (by_x - a * A) * Rabs x <= 4 * u * A * Rabs x) by now apply Rmult_le_compat_r.
    apply Rle_trans with (4 * u * (A * Rabs x + (B * Rabs beta + A * Rabs m + Rabs b) + B * form_size fs)); [lra |].
    apply Rmult_le_compat_l; lra.
  - rewrite Hi. cbn [sizes]. rewrite Rabs_mult.
    assert (Rabs by_x * Rabs x <= (1 + 4 * u) * A * Rabs x) by now apply Rmult_le_compat_r.
    assert (Bs : Rabs bias <= (1 + 4 * u) * (B * Rabs beta + A * Rabs m + Rabs b)).
    { replace bias with ((bias - (a * (sign * B * beta - A * m) + b)) + (a * (sign * B * beta - A * m) + b)) by ring.
      eapply Rle_trans. apply Rabs_triang. assert (T := Rabs_triang (a * (sign * B * beta - A * m)) b).
      assert (T2 : Rabs (a * (sign * B * beta - A * m)) <= B * Rabs beta + A * Rabs m).
      { rewrite Rabs_mult, Sp, Rmult_1_l. unfold Rminus. eapply Rle_trans. apply Rabs_triang. rewrite Rabs_Ropp, !Rabs_mult, Hsign, (Rabs_pos_eq A), (Rabs_pos_eq B) by assumption. lra. }
      lra. }
    apply Rle_trans with ((1 + 4 * u) * (A * Rabs x + (B * Rabs beta + A * Rabs m + Rabs b) + B * form_size fs)); [lra |].
    apply Rmult_le_compat_l; lra.
Qed.

Lemma linear_unit_ok h : linear_unit h -> unit_ok 4 h (g + reach_, Sg + reach_, m).
Proof.
  intros (Hs & Hr & Hw & bias & xs & Hi & Hf & Hb). destruct Sg_pos as (S0 & Sgg & _). assert (U := u_pos).
  destruct (form_near _ _ _ Hf) as (Fl & Ft & Fz). rewrite Rabs_R1, ?Rmult_1_l in *. rewrite (Rabs_pos_eq reach_) in Hb by exact Hreach.
  assert (F0 := form_size_pos fs). assert (Bt := Rabs_pos beta).
  unfold unit_ok. split; [exact Hs |]. split; [exact Hr |]. split; [| split; [| split; [| split; [| split]]]].
  - unfold entry. rewrite Hw, Rminus_diag_eq, Rabs_R0 by reflexivity. assert (C := Rabs_pos m). nra.
  - rewrite Hi. cbn [length]. rewrite Fl. lia.
  - lra.
  - eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq reach_) by exact Hreach. lra.
  - rewrite Hi. cbn [total]. replace (bias + total xs - (form_sum fs + beta + reach_)) with ((bias - (beta + reach_)) + (total xs - form_sum fs)) by ring.
    eapply Rle_trans. apply Rabs_triang. apply Rle_trans with (4 * u * (Rabs beta + reach_ + form_size fs)); [lra |]. apply Rmult_le_compat_l; lra.
  - rewrite Hi. cbn [sizes]. assert (Bs : Rabs bias <= (1 + 4 * u) * (Rabs beta + reach_)).
    { replace bias with ((bias - (beta + reach_)) + (beta + reach_)) by ring. eapply Rle_trans. apply Rabs_triang.
      assert (T := Rabs_triang beta reach_). rewrite (Rabs_pos_eq reach_) in T by exact Hreach. lra. }
    apply Rle_trans with ((1 + 4 * u) * (Rabs beta + reach_ + form_size fs)); [lra |]. apply Rmult_le_compat_l; lra.
Qed.

Definition whole_program (square : bool) : list (R * R * R) :=
  (if Req_EM_T m 0 then [] else [(g + reach_, Sg + reach_, m)]) ++ (if square then square_program 1 ++ square_program (-1) else []).

Lemma squares_value sign : total (map (fun '(a, _, c) => c * Rmax 0 a) (square_program sign)) =
  sign / 4 * (sum_of w (A * (x - m) + sign * B * g) - constant_of w).
Proof.
  rewrite <- (sum_of_row 0 0). unfold row_value, row_program, square_program.
  induction (reals_of w) as [| [[a b] c'] ps IH]; cbn [map total]; [ring |]. rewrite IH. ring.
Qed.

Lemma squares_size sign : Rabs sign = 1 -> total (map (fun '(_, sigma, c) => Rabs c * sigma) (square_program sign)) =
  (far * Q2R (weights_size w) + Q2R (biases_size w)) / 4.
Proof.
  intros Hs. assert (E := row_size_of 0 far 0 w). unfold row_size, row_program in E. rewrite Rmult_0_r, Rplus_0_r in E.
  apply Rplus_eq_reg_l in E. rewrite <- E. clear E. unfold square_program. rewrite map_map.
  rewrite map_map. induction (reals_of w) as [| [[a b] c'] ps IH]; cbn [map total]; [unfold Rdiv; ring |]. rewrite IH.
  unfold Rdiv. rewrite !Rabs_mult, Hs. rewrite (Rabs_pos_eq (/ 4)) by lra. ring.
Qed.

Lemma squares_weights sign : Rabs sign = 1 -> row_weights (square_program sign) = Q2R (weights_size w) / 4.
Proof.
  intros Hs. rewrite <- (row_weights_of 0 0 0). unfold row_weights, row_program, square_program.
  induction (reals_of w) as [| [[a b] c'] ps IH]; cbn [map total]; [unfold Rdiv; ring |]. rewrite IH.
  unfold Rdiv. rewrite !Rabs_mult, Hs. rewrite (Rabs_pos_eq (/ 4)) by lra. ring.
Qed.

Lemma product_row_row square y : product_row square y -> exists f, y = value_of f /\ row 4 (- m * reach_) (whole_program square) f.
Proof.
  intros (central & plus & minus & t & k & Hc & Hq & Hk & Ht & ->). exists (eval t). split; [reflexivity |].
  exists (central ++ plus ++ minus), t, k. split; [| split; [exact Hk | split; [exact Ht | reflexivity]]].
  unfold whole_program. apply Forall2_app.
  - destruct (Req_EM_T m 0); [subst central; constructor |]. destruct Hc as (h & -> & Hh). constructor; [now apply linear_unit_ok | constructor].
  - destruct square.
    + destruct Hq as [Hp Hm]. apply Forall2_app; apply square_units_ok; auto. apply Rabs_R1. rewrite Rabs_left; lra.
    + destruct Hq as [-> ->]. constructor.
Qed.

Definition row_gives (square : bool) : R :=
  m * g + (if square then (sum_of w (A * (x - m) + B * g) - sum_of w (A * (x - m) - B * g)) / 4 else 0).

Lemma whole_value square : Rabs g <= reach_ -> row_value (- m * reach_) (whole_program square) = row_gives square.
Proof.
  intros Hg. unfold row_value, whole_program, row_gives. rewrite map_app, total_app.
  assert (E1 : total (map (fun '(a, _, c) => c * Rmax 0 a) (if Req_EM_T m 0 then [] else [(g + reach_, Sg + reach_, m)])) = m * (g + reach_)).
  { destruct (Req_EM_T m 0) as [-> |]; cbn [map total]; [ring |]. rewrite Rmax_right; [ring |]. unfold Rabs in Hg. destruct (Rcase_abs g); lra. }
  rewrite E1. destruct square; cbn [map total]; [| ring]. rewrite map_app, total_app, !squares_value.
  replace (A * (x - m) + 1 * B * g) with (A * (x - m) + B * g) by ring. replace (A * (x - m) + -1 * B * g) with (A * (x - m) - B * g) by ring.
  unfold Rdiv. ring.
Qed.

Lemma whole_size square : row_size (- m * reach_) (whole_program square) =
  Rabs m * (Sg + 2 * reach_) + (if square then (far * Q2R (weights_size w) + Q2R (biases_size w)) / 2 else 0).
Proof.
  unfold row_size, whole_program. rewrite map_app, total_app, Rabs_mult, Rabs_Ropp, (Rabs_pos_eq reach_) by exact Hreach.
  assert (E1 : total (map (fun '(_, sigma, c) => Rabs c * sigma) (if Req_EM_T m 0 then [] else [(g + reach_, Sg + reach_, m)])) = Rabs m * (Sg + reach_)).
  { destruct (Req_EM_T m 0) as [-> |]; cbn [map total]; [rewrite Rabs_R0; ring | ring]. }
  rewrite E1. destruct square; cbn [map total]; [| ring]. rewrite map_app, total_app, !squares_size; [unfold Rdiv; field | rewrite Rabs_left; lra | apply Rabs_R1].
Qed.

Lemma whole_weights square : row_weights (whole_program square) = Rabs m + (if square then Q2R (weights_size w) / 2 else 0).
Proof.
  unfold row_weights at 1, whole_program. rewrite map_app, total_app.
  assert (E1 : total (map (fun '(_, _, c) => Rabs c) (if Req_EM_T m 0 then [] else [(g + reach_, Sg + reach_, m)])) = Rabs m).
  { destruct (Req_EM_T m 0) as [-> |]; cbn [map total]; [rewrite Rabs_R0; ring | ring]. }
  rewrite E1. destruct square; cbn [map total]; [| ring]. rewrite map_app, total_app.
  fold (row_weights (square_program 1)) (row_weights (square_program (-1))). rewrite !squares_weights; [field | rewrite Rabs_left; lra | apply Rabs_R1].
Qed.

Lemma whole_length square : (length (whole_program square) <= 1 + (if square then 2 * length (units w) else 0))%nat.
Proof.
  unfold whole_program. rewrite app_length. assert (E1 : (length (if Req_EM_T m 0 then [] else [((g + reach_)%R, (Sg + reach_)%R, m)]) <= 1)%nat).
  { destruct (Req_EM_T m 0); simpl; lia. }
  destruct square; cbn [length]; [| lia]. rewrite app_length. unfold square_program, reals_of. rewrite !map_length. lia.
Qed.

Lemma whole_small square n k : (1 + u) ^ n * (Sg + reach_ + k * machine.w) < huge ->
  (square = true -> (1 + u) ^ n * (far + Q2R (largest_bias w) + k * machine.w) < huge) ->
  List.Forall (fun '(_, sigma, _) => (1 + u) ^ n * (sigma + k * machine.w) < huge) (whole_program square).
Proof.
  intros H1 H2. unfold whole_program. apply Forall_app. split.
  - destruct (Req_EM_T m 0); constructor; [exact H1 | constructor].
  - destruct square; [| constructor]. specialize (H2 eq_refl). destruct Sg_pos as (S0 & _ & D0).
    assert (F0 : 0 <= far). { assert (0 <= A * (D + Rabs m)) by (apply Rmult_le_pos; [| generalize (Rabs_pos m)]; lra). assert (0 <= B * Sg) by now apply Rmult_le_pos. lra. }
    assert (K := row_program_sizes 0 far 0 w n k F0 (Rle_refl 0) ltac:(now rewrite Rmult_0_r, Rplus_0_r)). unfold row_program in K.
    assert (One : forall sign, List.Forall (fun '(_, sigma, _) => (1 + u) ^ n * (sigma + k * machine.w) < huge) (square_program sign)).
    { intros sign. unfold square_program. rewrite Forall_map in K |- *. eapply Forall_impl; [| exact K]. intros [[a b] c'] H. cbv beta iota in *. now rewrite Rmult_0_r, Rplus_0_r in H. }
    apply Forall_app. split; apply One.
Qed.

Theorem product_row_ok square y : product_row square y -> Rabs g <= reach_ ->
  let M := (1 + (if square then 2 * length (units w) else 0))%nat in
  let size := Rabs m * (Sg + 2 * reach_) + (if square then (far * Q2R (weights_size w) + Q2R (biases_size w)) / 2 else 0) in
  let k := 8 * (Rabs m + (if square then Q2R (weights_size w) / 2 else 0)) + 2 * INR (S M) in
  0 <= Q2R (weights_size w) -> 0 <= size ->
  (1 + u) ^ (M + 13) * (size + k * machine.w) < huge -> (1 + u) ^ 8 * (Sg + reach_ + 8 * machine.w) < huge ->
  (square = true -> (1 + u) ^ 8 * (far + Q2R (largest_bias w) + 8 * machine.w) < huge) ->
  Rabs (y - row_gives square) <= off (M + 13) k size.
Proof.
  intros Hy Hg M size k Hw Hs0 Hbig H1 H2. assert (W := w_pos). destruct (product_row_row square y Hy) as (f & -> & Hf).
  assert (Len := whole_length square). fold M in Len. set (M' := length (whole_program square)) in *.
  assert (I4 : INR 4 = 4) by (simpl; ring). assert (Wt := whole_weights square). assert (Sz := whole_size square). fold size in Sz.
  set (ws := Rabs m + (if square then Q2R (weights_size w) / 2 else 0)) in *.
  assert (Ws : 0 <= ws) by (unfold ws; generalize (Rabs_pos m); destruct square; lra).
  assert (K : 0 <= 2 * INR 4 * ws + 2 * INR (S M') <= k).
  { rewrite I4. unfold k. assert (L := le_INR (S M') (S M) ltac:(lia)). assert (P := pos_INR (S M')). lra. }
  assert (Dn : (M' + 4 + 9 <= M + 13)%nat) by lia.
  destruct (row_ok 4 _ _ f Hf) as [_ E].
  - rewrite I4. replace (2 * 4) with 8 by ring. change (4 + 4)%nat with 8%nat. now apply whole_small.
  - fold M'. rewrite Wt, Sz. eapply Rle_lt_trans; [| exact Hbig]. destruct (grow _ _ Dn). apply Rmult_le_compat; try lra.
    + assert (0 <= (2 * INR 4 * ws + 2 * INR (S M')) * machine.w) by (apply Rmult_le_pos; lra). lra.
    + apply Rplus_le_compat_l. apply Rmult_le_compat_r; lra.
  - cbv zeta in E. fold M' in E. rewrite Wt, Sz, whole_value in E by exact Hg. eapply Rle_trans; [exact E |]. apply off_mono; auto; lra.
Qed.
End Row.
