(* What the checks of a certificate prove: the theorem that it states. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors calculus block gradient sums formulas tight enclose tables fits sweeps certificate.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

Lemma greater_ok a b : Q2R a <= Q2R (greater a b) /\ Q2R b <= Q2R (greater a b).
Proof.
  unfold greater, le. destruct (Qle_bool a b) eqn:E.
  - apply Qle_R in E. lra.
  - assert (~ (a <= b)%Q) by (rewrite <- Qle_bool_iff; congruence). apply Qnot_le_lt, Qlt_Rlt in H. lra.
Qed.

Lemma Q2R_abs a : Q2R (Qabs a) = Rabs (Q2R a).
Proof.
  apply Qabs_case; intros H; apply Qle_Rle in H; rewrite RMicromega.Q2R_0 in H.
  - now rewrite Rabs_pos_eq.
  - rewrite Q2R_opp, Rabs_left1; auto.
Qed.

Lemma Q2R_half a : Q2R (a / 2) = Q2R a / 2.
Proof. rewrite Q2R_div by discriminate. replace (Q2R 2) with 2 by (unfold Q2R; simpl; lra). reflexivity. Qed.

Lemma Q2R_nat n : Q2R (inject_Z (Z.of_nat n)) = INR n.
Proof. rewrite INR_IZR_INZ. unfold Q2R. simpl. lra. Qed.

Ltac reals := repeat match goal with H : le _ _ = true |- _ => apply Qle_R in H end;
  repeat progress (rewrite ?Q2R_plus, ?Q2R_minus, ?Q2R_mult, ?Q2R_opp, ?Q2R_nat, ?Q2R_half, ?Q2R_abs, ?RMicromega.Q2R_0, ?RMicromega.Q2R_1 in *).

Ltac parts H := repeat (apply andb_true_iff in H; let K := fresh "K" in destruct H as [H K]).

(** The ranges and the local lemmas of block.v, for the numbers of a certificate. *)
Section Numbers.
Variable c : data.
Notation A := (fun j => Q2R (qA (L c j))).
Notation e_ f := (fun j => Q2R (f (L c j))).
Definition norm_of_g (j : nat) : R := if Nat.eqb (S j) (N c) then
  Rmin (root c (S j) * G c j) (Q2R (qphi0 c) * root c (S j) + Q2R (qlip c) * (root c (S j) * (A j + Q2R (qea c))) + Q2R (qtilt c) * B_y c + root c (S j) * Q2R (qeg (L c j)))
  else root c (S j) * G c j.
Definition its_ranges : Prop := ranges (N c) (dim c) (act c) (dact c) (phi c) (rho c) (sigma c) (half c) (root c) (B_y c)
  (Q2R (qlip c)) (Q2R (qphi0 c)) (Q2R (qtilt c)) (Q2R (qtop c)) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg)
  (P c) (Z c) A (DL c) (DH c) (e_ qD) (G c) norm_of_g (e_ qSn).
Definition its_lemmas : Prop := lemmas (N c) (act c) (dact c) (phi c) (rho c) (B_y c) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg) (Z c) (DL c) (DH c) (G c)
  (rhat c) (dhat c) (product c) (uhat c) (direct c) (wz c) (wr c) (wd c) (wx c) (wg c)
  (fun j => Q2R (error_or (r_sum (L c j)))) (fun j => Q2R (error_or (dr_sum (L c j)))) (fun j => Q2R (product_error (L c j))) (Q2R (fu c)).
End Numbers.

(* For every loss ell whose slope is the certificate's: the s p / 2 of step_error are, averaged over the examples, the derivatives of
   half the mean loss with respect to each weight, for every network in the box and all prompts within the radii. *)
Definition gradient_of_loss (c : data) : Prop := forall (ell : R -> R -> R) (n : nat) (V : nat -> nat -> nat -> R) (X Y : nat -> nat -> R)
    (p z g s : nat -> nat -> nat -> R),
  (forall a b, is_derive (fun a => ell a b) a (phi c (a - rho c * b) - sigma c * b)) ->
  (forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> Rabs (V j k i) <= half c j) ->
  (forall t, (t < n)%nat -> norm (dim c 0) (X t) <= P c 0 /\
     exact_pass (N c) (dim c) V (act c) (dact c) (phi c) (rho c) (sigma c) (X t) (Y t) (p t) (z t) (g t) (s t)) ->
  forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat ->
    is_derive (fun v => loss_of (N c) (dim c) (act c) ell n X Y (with_entry V j k i v)) (V j k i) (/ INR n * sum n (fun t => s t j k * p t j i / 2)).

Module Proof (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Ce := Certificate F.
Import Ce.Sw Ce.Sw.Fi.

Section Numbers.
Variable prec : F.precision.

Lemma rational_ok q : has (rational prec q) (Q2R q).
Proof. apply (has_ratio prec (Qnum q) (Zpos (Qden q))). discriminate. Qed.

Lemma upper_ok q : U (Q2R q) (upper prec q).
Proof. apply U_upper, rational_ok. Qed.

Lemma upper_real q : F.real (upper prec q) = true -> exists x, F.toX (upper prec q) = Xreal x /\ Q2R q <= x.
Proof.
  intros H. destruct (classify_toX _ (real_classify _ H)) as [x E]. exists x. split; auto. now apply (U_real _ _ _ E), upper_ok.
Qed.

Lemma lower_real q : F.real (lower prec q) = true -> exists x, F.toX (lower prec q) = Xreal x /\ x <= Q2R q.
Proof.
  intros H. destruct (classify_toX _ (real_classify _ H)) as [x E]. exists x. split; auto.
  destruct (Lo_low _ _ (rational_ok q)) as [_ K]. unfold le_lower in K. unfold lower in E. rewrite E in K. simpl in K. lra.
Qed.

Lemma fitted_ok w f d : (d < 2)%nat -> fitted prec (Some w) f d = true ->
  close (sum_of w) (derivative d f) (Q2R (Zpos (reach w) # kinks w)) (Q2R (error w)).
Proof.
  intros Hd H. cbn [fitted] in H. apply andb_true_iff in H. destruct H as [R H]. destruct (lower_real _ R) as (E & Ee & HE).
  intros t Ht. eapply Rle_trans; [| exact HE]. exact (fits_ok prec _ _ f d Hd _ E Ee _ _ _ _ H t Ht).
Qed.

Lemma in_range_ok f k l h z : (k <= 3)%nat -> in_range prec f k l h z = true -> forall t, Rabs t <= Q2R z ->
  good f t /\ Q2R l <= derivative k f t <= Q2R h.
Proof.
  intros Hk H t Ht. unfold in_range in H. parts H. destruct (upper_real _ H) as (a & Ea & Ha). destruct (lower_real _ K1) as (b & Eb & Hb).
  destruct (upper_real _ K0) as (x & Ex & Hx). apply Rabs_le_inv in Ht.
  destruct (within_ok prec f k _ _ a b Hk Ea Eb fuel _ _ (- x) x K (neg_real _ _ Ex) Ex t ltac:(lra)) as [G B]. split; [exact G | lra].
Qed.
End Numbers.

Section Proof.
Variable prec : F.precision.
Variable c : data.
Variables (sub : nat) (splits : list nat).
Hypothesis all_sums : forallb (layer_sums c) (seq 0 (N c)) = true.
Hypothesis all_fit : forall j, (j < N c)%nat -> layer_fits prec c j = true.
Hypothesis slope_sums : loss_sums c = true.
Hypothesis slope_fits : loss_fits prec c = true.
Hypothesis cells : cells_fit prec c sub splits = true.

Notation root := certificate.root.
Notation Lj := (L c).
Notation A := (fun j => Q2R (qA (L c j))).
Notation e_ f := (fun j => Q2R (f (L c j))).

Lemma layer_sums_ok j : (j < N c)%nat -> layer_sums c j = true.
Proof. intros Hj. assert (S := all_sums). rewrite forallb_forall in S. apply S, in_seq. lia. Qed.

Lemma N_pos : (0 < N c)%nat.
Proof. assert (H := slope_sums). unfold loss_sums in H. parts H. now apply Nat.ltb_lt. Qed.

Ltac layer j Hj := let W := fresh "W" in assert (W := layer_sums_ok j Hj); unfold layer_sums in W; cbv zeta in W; parts W.

Lemma roots_ok j : (j <= N c)%nat -> 0 <= root c j /\ INR (dim c j) <= root c j ^ 2.
Proof.
  intros Hj. assert (H := slope_sums). unfold loss_sums in H. parts H. rewrite forallb_forall in K2. apply Nat.eqb_eq in K0, K1.
  assert (In (dim c j, nth j (roots c) 0%Q) (combine (dims c) (roots c))).
  { unfold dim. rewrite <- combine_nth by congruence. apply nth_In. rewrite combine_length. lia. }
  apply K2 in H0. unfold at_least in H0. parts H0. reals. unfold root. split; [lra |]. simpl. lra.
Qed.

Lemma dims_ok j : (j <= N c)%nat -> (0 < dim c j)%nat.
Proof.
  intros Hj. destruct j as [| j].
  - assert (H := slope_sums). unfold loss_sums in H. parts H. apply Nat.ltb_lt; assumption.
  - layer j Hj. apply Nat.ltb_lt; assumption.
Qed.

Lemma in_layer j : (j < N c)%nat -> forall t, Rabs t <= Z c j -> good (r (Lj j)) t /\
  (Q2R (fst (limits (Lj j))) <= act c j t <= Q2R (snd (limits (Lj j)))) /\
  (DL c j + Q2R (qed (Lj j)) <= dact c j t <= DH c j - Q2R (qed (Lj j))) /\
  Rabs (second (r (Lj j)) t) <= Q2R (qC2 (Lj j)) /\ Rabs (third (r (Lj j)) t) <= Q2R (qC3 (Lj j)).
Proof.
  intros Hj t Ht. assert (H := all_fit j Hj). unfold layer_fits in H. cbv zeta in H. parts H.
  destruct (in_range_ok prec _ 0 _ _ _ ltac:(lia) K2 t Ht) as [G R0]. destruct (in_range_ok prec _ 1 _ _ _ ltac:(lia) K1 t Ht) as [_ R1].
  destruct (in_range_ok prec _ 2 _ _ _ ltac:(lia) K0 t Ht) as [_ R2]. destruct (in_range_ok prec _ 3 _ _ _ ltac:(lia) K t Ht) as [_ R3].
  unfold derivative, pick in *. rewrite ?Q2R_plus, ?Q2R_minus, ?Q2R_opp in *.
  split; [exact G |]. split; [exact R0 |]. split; [exact R1 |]. split; apply Rabs_le; lra.
Qed.

Lemma act_range j t : (j < N c)%nat -> Rabs t <= Z c j -> Rabs (act c j t) <= A j.
Proof.
  intros Hj Ht. destruct (in_layer j Hj t Ht) as (_ & R0 & _). layer j Hj. reals. apply Rabs_le. lra.
Qed.

(** The loss slope. *)

Lemma loss_signs : 0 <= B_y c /\ 0 <= Q2R (qlip c) /\ 0 <= Q2R (qphi0 c) /\ 0 <= rho c /\ 0 <= sigma c /\ 0 <= Q2R (qtilt c) /\ 0 <= Q2R (qea c).
Proof.
  assert (H := slope_sums). unfold loss_sums in H. parts H. assert (HN := N_pos).
  assert (He : 0 <= Q2R (qea c)).
  { unfold qea. destruct (direct c); [rewrite RMicromega.Q2R_0; lra |]. assert (Hj : (N c - 1 < N c)%nat) by lia. layer (N c - 1)%nat Hj. reals. lra. }
  unfold B_y, rho, sigma, qtilt. clear K K0 K1 K2. reals. repeat split; auto. nra.
Qed.

Lemma reach_ok j a y : S j = N c -> Rabs a <= A j + Q2R (qea c) -> Rabs y <= B_y c -> Rabs (a - rho c * y) <= Q2R (qreach c).
Proof.
  intros Hj Ha Hy. destruct loss_signs as (_ & _ & _ & Pr & _). unfold qreach. rewrite !Q2R_plus, Q2R_mult. replace (N c - 1)%nat with j by lia.
  fold (rho c) (B_y c). unfold Rminus. apply Rabs_sum2; auto. rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq (rho c)) by auto. now apply Rmult_le_compat_l.
Qed.

Lemma phi_lip a b : Rabs a <= Q2R (qreach c) -> Rabs b <= Q2R (qreach c) -> Rabs (phi c a - phi c b) <= Q2R (qlip c) * Rabs (a - b).
Proof.
  intros Ha Hb. assert (H := slope_fits). assert (H' := slope_sums). unfold loss_fits in H. unfold loss_sums in H'. unfold phi. destruct (loss c) as [f |]; cbn [slope_value].
  - cbv zeta in H. parts H. apply (lipschitz (value f) (first f) (Q2R (qreach c))); auto; intros t Ht;
      destruct (in_range_ok prec _ 1 _ _ _ ltac:(lia) K1 t Ht) as [G B]; unfold derivative, pick in B.
    + now apply value_derive.
    + rewrite Q2R_opp in B. apply Rabs_le. lra.
  - apply andb_true_iff in H'. destruct H' as [_ H']. parts H'. apply Qle_R in H'. rewrite RMicromega.Q2R_1 in H'.
    destruct clip_ok as (_ & C & _). eapply Rle_trans; [apply C |]. assert (0 <= Rabs (a - b)) by apply Rabs_pos. nra.
Qed.

Lemma slope_range j a y : S j = N c -> Rabs a <= A j + Q2R (qea c) -> Rabs y <= B_y c ->
  Rabs (phi c (a - rho c * y) - sigma c * y) <= Q2R (qtop c) /\
  Rabs (phi c (a - rho c * y) - sigma c * y) <= Q2R (qphi0 c) + Q2R (qlip c) * Rabs a + Q2R (qtilt c) * Rabs y.
Proof.
  intros Hj Ha Hy. assert (Hr := reach_ok j a y Hj Ha Hy). destruct loss_signs as (PB & Pl & P0 & Pr & Ps & Pt & Pe).
  set (t := a - rho c * y) in *. assert (Sy : Rabs (sigma c * y) = sigma c * Rabs y) by (rewrite Rabs_mult, (Rabs_pos_eq (sigma c)); auto).
  assert (Ty : Rabs t <= Rabs a + rho c * Rabs y).
  { unfold t, Rminus. eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq (rho c)) by auto. lra. }
  assert (sigma c * Rabs y <= sigma c * B_y c) by (apply Rmult_le_compat_l; auto).
  assert (M : Rabs (phi c t) + sigma c * B_y c <= Q2R (qtop c) /\ Rabs (phi c 0) <= Q2R (qphi0 c)).
  { assert (H1 := slope_fits). assert (H' := slope_sums). unfold loss_fits in H1. unfold loss_sums in H'. unfold phi. destruct (loss c) as [f |]; cbn [slope_value].
    - cbv zeta in H1. parts H1. destruct (in_range_ok prec _ 0 _ _ _ ltac:(lia) K2 t Hr) as [_ B].
      destruct (in_range_ok prec _ 0 _ _ _ ltac:(lia) K0 0 ltac:(rewrite Rabs_R0, RMicromega.Q2R_0; lra)) as [_ B'].
      unfold derivative, pick in *. rewrite !Q2R_opp, !Q2R_minus, !Q2R_mult in B. rewrite Q2R_opp in B'. fold (sigma c) (B_y c) in B.
      split; [assert (Rabs (value f t) <= Q2R (qtop c) - sigma c * B_y c) by (apply Rabs_le; lra); lra | apply Rabs_le; lra].
    - apply andb_true_iff in H'. destruct H' as [_ H']. parts H'. destruct clip_ok as (C0 & _ & C). rewrite C0, Rabs_R0. split; [| exact P0].
      destruct (C t) as [C1 C2]. apply orb_true_iff in K1. destruct K1 as [K1 | K1]; apply Qle_R in K1; rewrite Q2R_plus, Q2R_mult in K1; fold (sigma c) (B_y c) in K1.
      + replace (Q2R (1 # 2)) with (/ 2) in K1 by (unfold Q2R; simpl; lra). lra.
      + lra. }
  destruct M as [M0 M1]. assert (Z0 : Rabs 0 <= Q2R (qreach c)) by (rewrite Rabs_R0; eapply Rle_trans; [apply Rabs_pos | exact Hr]).
  assert (Lp := phi_lip t 0 Hr Z0). rewrite Rminus_0_r in Lp.
  assert (Rabs (phi c t) <= Q2R (qphi0 c) + Q2R (qlip c) * Rabs t).
  { replace (phi c t) with (phi c 0 + (phi c t - phi c 0)) by ring. now apply Rabs_sum2. }
  assert (Q2R (qlip c) * Rabs t <= Q2R (qlip c) * (Rabs a + rho c * Rabs y)) by (apply Rmult_le_compat_l; auto).
  assert (Sum : Rabs (phi c t - sigma c * y) <= Rabs (phi c t) + sigma c * Rabs y).
  { unfold Rminus. eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_Ropp, Sy. lra. }
  unfold qtilt. rewrite Q2R_plus, Q2R_mult. fold (rho c) (sigma c). split; [lra |].
  replace ((Q2R (qlip c) * rho c + sigma c) * Rabs y) with (Q2R (qlip c) * (rho c * Rabs y) + sigma c * Rabs y) by ring. lra.
Qed.

Lemma all_ranges : its_ranges c.
Proof.
  destruct loss_signs as (PB & Pl & P0 & Pr & Ps & Pt & Pe).
  unfold its_ranges, norm_of_g. constructor.
  - apply roots_ok.
  - intros j Hj. layer j Hj. reals. unfold half. repeat split; assumption.
  - exact PB.
  - repeat split; assumption.
  - intros j a y Hj Ha Hy. now apply (slope_range j).
  - intros j t Hj Ht. now apply act_range.
  - intros j t Hj Ht. now apply in_layer.
  - intros j Hj. layer j Hj. destruct (greater_ok (qDH (L c j)) (- qDL (L c j))) as [D1 D2]. rewrite Q2R_opp in D2. reals.
    unfold half, root, P, Z, DL, DH, qD. repeat split; lra.
  - intros j Hj. assert (Hj' : (j < N c)%nat) by lia. layer j Hj'. rewrite (proj2 (Nat.eqb_eq _ _) Hj) in *. reals. unfold G. split; [lra |].
    rewrite Hj. destruct (Rle_dec (root c (N c) * Q2R (qG (L c j))) (Q2R (qphi0 c) * root c (N c) + Q2R (qlip c) * (root c (N c) * (A j + Q2R (qea c))) + Q2R (qtilt c) * B_y c + root c (N c) * Q2R (qeg (L c j)))).
    + left. rewrite Rmin_left; lra.
    + right. rewrite Rmin_right; lra.
  - intros j Hj. assert (Hj' : (j < N c)%nat) by lia. layer j Hj'. replace (Nat.eqb (S j) (N c)) with false in * by (symmetry; apply Nat.eqb_neq; lia).
    reals. unfold half, root, G. split; lra.
  - intros j Hj. layer j Hj. match goal with X : le (qD _ * _ + _)%Q _ || _ = true |- _ => rename X into O end. clear - O.
    apply orb_true_iff in O. destruct O as [K8 | K8]; apply Qle_R in K8; rewrite ?Q2R_plus, ?Q2R_mult, ?Q2R_plus, ?Q2R_mult in K8.
    + left. eapply Rle_trans; [| exact K8]. apply Rplus_le_compat_r. right. f_equal. unfold root, G, B_y.
      destruct (Nat.eqb (S j) (N c)).
      * set (x := (nth (S j) (roots c) 0 * qG (L c j))%Q). set (y := (_ + _ + _ + _)%Q).
        replace (Q2R (nth (S j) (roots c) 0%Q) * Q2R (qG (L c j))) with (Q2R x) by apply Q2R_mult.
        replace (_ + _ + _ + _) with (Q2R y).
        2: { unfold y. rewrite !Q2R_plus, !Q2R_mult, !Q2R_plus. reflexivity. }
        unfold le. destruct (Qle_bool y x) eqn:E.
        -- apply Qle_R in E. now rewrite Rmin_right.
        -- assert (~ (y <= x)%Q) by (rewrite <- Qle_bool_iff; congruence). apply Qnot_le_lt, Qlt_Rlt in H. rewrite Rmin_left; lra.
      * unfold le. destruct (Qle_bool _ _); now rewrite Q2R_mult.
    + right. exact K8.
Qed.

(** The local lemmas. *)
Lemma all_lemmas : its_lemmas c.
Proof.
  assert (Own : forall f : R -> R, forall t, Rabs (f t - f t) <= Q2R 0) by (intros; apply Rabs_zero; [reflexivity | rewrite RMicromega.Q2R_0; lra]).
  constructor.
  - intros j t Hj Ht. assert (H := all_fit j Hj). unfold layer_fits in H. cbv zeta in H. parts H. layer j Hj. unfold rhat.
    assert (Far : far (r_sum (L c j)) (qZ (L c j)) = true) by assumption. clear - H Far Ht Own.
    destruct (r_sum (L c j)) as [w |]; cbn [sum_or error_or]; [| apply Own].
    apply (fitted_ok prec w (r (L c j)) 0 ltac:(lia) H). eapply Rle_trans; [exact Ht |]. now apply Qle_R.
  - intros j t Hj Ht. assert (H := all_fit j Hj). unfold layer_fits in H. cbv zeta in H. parts H. layer j Hj. unfold dhat.
    assert (Far : far (dr_sum (L c j)) (qZ (L c j)) = true) by assumption. clear - K4 Far Ht Own.
    destruct (dr_sum (L c j)) as [w |]; cbn [sum_or error_or]; [| apply Own].
    apply (fitted_ok prec w (r (L c j)) 1 ltac:(lia) K4). eapply Rle_trans; [exact Ht |]. now apply Qle_R.
  - intros j a b Hj Ha Hb. assert (H := all_fit j Hj). unfold layer_fits in H. cbv zeta in H. parts H. layer j Hj.
    assert (Pf : product_fits (L c j) = true) by assumption. clear - K3 Ha Hb Pf.
    unfold product, product_error, product_fits, DL, DH, G in *.
    destruct (times (L c j)) as [| m | m p q w].
    + apply Rabs_zero; [reflexivity | rewrite RMicromega.Q2R_0; lra].
    + rewrite Q2R_mult. destruct (greater_ok (qDH (L c j) - m) (m - qDL (L c j))) as [S1 S2]. fold (spread (L c j) m) in S1, S2. rewrite Q2R_minus in S1, S2.
      apply by_centre_ok with (lo := Q2R (qDL (L c j))) (hi := Q2R (qDH (L c j))); auto; lra.
    + destruct (greater_ok (qDH (L c j) - m) (m - qDL (L c j))) as [S1 S2]. fold (spread (L c j) m) in S1, S2. rewrite Q2R_minus in S1, S2.
      parts Pf. reals.
      assert (Fw := fitted_ok prec w (Square Var) 0 ltac:(lia) K3).
      assert (Fw' : close (sum_of w) square (Q2R (Zpos (reach w) # kinks w)) (Q2R (error w))) by exact Fw. clear Fw.
      rewrite ?Q2R_plus, ?Q2R_half, ?Q2R_mult, ?Q2R_abs, ?Q2R_minus, ?Q2R_mult, ?RMicromega.Q2R_1.
      eapply by_squares_ok with (1 := Fw') (lo := Q2R (qDL (L c j))) (hi := Q2R (qDH (L c j))); auto; lra.
  - intros j t p y Hj Ht Hp Hy. assert (HN := N_pos). assert (Hj' : (j < N c)%nat) by lia. assert (Ha := act_range j t Hj' Ht).
    assert (H1 := slope_fits). assert (H' := slope_sums). unfold loss_fits in H1. unfold loss_sums in H'.
    unfold uhat, fu, qea. replace (N c - 1)%nat with j in * by lia.
    assert (Far : Rabs (p - rho c * y) <= Q2R (qreach c) \/ direct c = true).
    { destruct (direct c) eqn:Ed; [now right | left]. apply (reach_ok j); auto. unfold qea. rewrite Ed. replace (N c - 1)%nat with j by lia.
      replace p with (act c j t + (p - act c j t)) by ring. now apply Rabs_sum2. }
    assert (None_ok : u_sum c = None -> direct c = false -> exists a, Rabs (a - act c j t) <= Q2R (if direct c then 0%Q else qer (L c j)) /\
      Rabs (sum_or (u_sum c) (phi c) (if direct c then t else p - rho c * y) - phi c (a - rho c * y)) <= Q2R (error_or (u_sum c))).
    { intros -> ->. exists p. split; [exact Hp | apply Own]. }
    apply andb_true_iff in H'. destruct H' as [_ H']. unfold phi in *. destruct (loss c) as [f |]; cbn [slope_value] in *.
    + cbv zeta in H1. parts H1. apply andb_true_iff in H'. destruct H' as [H' _].
      destruct (u_sum c) as [w |]; [clear None_ok | apply None_ok; auto; now apply negb_true_iff]. cbn [sum_or error_or].
      destruct (direct c) eqn:Ed.
      * apply andb_true_iff in H'. destruct H' as [Hr H']. apply Qeq_bool_eq, Qeq_eqR in Hr. rewrite RMicromega.Q2R_0 in Hr. unfold rho. rewrite Hr.
        exists (act c j t). split; [apply Rabs_zero; [reflexivity | rewrite RMicromega.Q2R_0; lra] |].
        assert (Fw := fitted_ok prec w _ 0 ltac:(lia) H1 t). unfold derivative, pick in Fw. rewrite compose_value in Fw.
        rewrite Rmult_0_l, Rminus_0_r. apply Fw. eapply Rle_trans; [exact Ht |]. now apply Qle_R in H'.
      * exists p. split; [exact Hp |]. apply (fitted_ok prec w _ 0 ltac:(lia) H1). destruct Far as [Far | Far]; [| discriminate].
        eapply Rle_trans; [exact Far |]. now apply Qle_R in H'.
    + parts H'. destruct (u_sum c) as [w |]; [discriminate |]. apply None_ok; auto. now apply negb_true_iff.
  - intros j Hj. layer j Hj. unfold wz, wr, wd, wx, wg, fu in *. destruct (Nat.eqb (S j) (N c)); reals; repeat split; lra.
Qed.

Lemma rows_fine j : (j < N c)%nat -> List.Forall (row_ok (Z c j) (act c j) (dact c j) (second (r (L c j)))) (rows_of prec sub (L c j)).
Proof.
  intros Hj. unfold rows_of. apply table_ok; [| apply upto_zero].
  assert (H := cells). unfold cells_fit in H. parts H. rewrite forallb_forall in K0. apply K0. unfold L. apply nth_In. exact Hj.
Qed.

Lemma layers_fine j : (j < N c)%nat ->
  layer_ok (dim c) (act c) (dact c) (fun j => second (r (L c j))) (half c) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg) (eu c) (Z c) (e_ qC2) (e_ qC3) (lay prec c sub) j.
Proof.
  intros Hj. assert (Un : U (INR (dim c (S j))) (upper prec (inject_Z (Z.of_nat (dim c (S j)))))) by (rewrite <- Q2R_nat; apply upper_ok).
  constructor; cbn [lay box size unit lez ler led lex leg leu half2 half3 rows]; try apply upper_ok; auto.
  - unfold sr. now apply U_root.
  - rewrite <- Q2R_half. apply upper_ok.
  - rewrite <- Q2R_half. apply upper_ok.
  - now apply rows_fine.
Qed.

Theorem certificate_ok : step_error c /\ box_and_derivatives c.
Proof.
  assert (HN := N_pos). destruct loss_signs as (PB & Pl & P0 & Pr & Ps & Pt & Pe). split.
  - intros n V X Y p z g s p' z' d' g' s' Gr eta face Heta Hn Hbox Hpass Hu.
    apply (projected (N c) (dim c) face V Gr (fun j k i => / INR n * sum n (fun t => s t j k * p t j i / 2)) eta (bound c) Heta). unfold stack.
    assert (C := cells). unfold cells_fit in C. parts C. apply Qle_R in C. rewrite RMicromega.Q2R_0 in C. destruct (lower_real prec _ K1) as (c2 & Ec & Hc). rewrite Q2R_mult in Hc.
    assert (Hb : R_sqrt.sqrt c2 <= bound c) by (apply sqrt_le; [exact C | unfold bound; simpl; rewrite Rmult_1_r; exact Hc]).
    eapply Rle_trans; [| exact Hb].
    assert (Deriv : forall j t, (j < N c)%nat -> Rabs t <= Z c j -> good (r (L c j)) t) by (intros j t Hj Ht; now apply (in_layer j Hj t Ht)).
    apply (tight_step prec (N c) (dim c) V (act c) (dact c) (fun j => second (r (L c j))) (phi c) (rho c) (sigma c) (half c) (root c) (B_y c)
      (Q2R (qlip c)) (Q2R (qphi0 c)) (Q2R (qtilt c)) (Q2R (qtop c)) (Q2R (qea c)) (e_ qez) (e_ qer) (e_ qed) (e_ qex) (e_ qeg) (eu c)
      (P c) (Z c) A (DL c) (DH c) (e_ qD) (G c) _ (e_ qSn) (e_ qC2) (e_ qC3) all_ranges Hbox) with
      (X := X) (Y := Y) (z := z) (g := g) (p' := p') (z' := z') (d' := d') (g' := g') (s' := s') (claim2 := claim2 prec c)
      (splits := splits) (root_cell := first_cell prec c) (set := the_setting prec c) (lay := lay prec c sub); auto.
    + apply dims_ok.
    + intros j Hj. layer j Hj. reals. unfold eu. repeat split; assumption.
    + intros j t Hj Ht. apply value_derive. now apply Deriv.
    + intros j t Hj Ht. apply first_derive. now apply Deriv.
    + intros j a b Hj. apply (lipschitz (dact c j) (second (r (L c j)))). intros; apply first_derive; now apply Deriv. intros; now apply (in_layer j).
    + intros j a b Hj. apply (lipschitz (second (r (L c j))) (third (r (L c j)))). intros; apply second_derive; now apply Deriv. intros; now apply (in_layer j).
    + intros j a b y Hj Ha Hb' Hy. replace (a - b) with ((a - rho c * y) - (b - rho c * y)) by ring. apply phi_lip; now apply (reach_ok j).
    + intros j Hj. now apply layers_fine.
    + apply upper_ok.
    + intros j Hj. cbn [the_setting Bv]. eapply U_le; [| apply upper_ok].
      assert (Most : forall l, In j l -> Q2R (qhalf (L c j) * nth j (roots c) 0)%Q <= Q2R (fold_right greater 0%Q (map (fun j => qhalf (L c j) * nth j (roots c) 0)%Q l))).
      { induction l as [| i l IH]; intros Hin; [destruct Hin |]. destruct Hin as [E | Hin]; cbn [map fold_right].
        - subst i. apply greater_ok.
        - eapply Rle_trans; [now apply IH | apply greater_ok]. }
      unfold half, root. rewrite <- Q2R_mult. apply Most, in_seq. lia.
    + apply upper_ok.
    + apply upper_ok.
    + apply upper_ok.
    + apply upper_ok.
    + intros j Hj. cbn [the_setting local]. replace (N c - 1)%nat with j by lia. rewrite <- Q2R_mult, <- Q2R_plus. apply upper_ok.
    + intros q Hq. cbn [the_setting steep] in Hq. destruct (qsteep c) as [q' |] eqn:Es; [| discriminate]. apply same in Hq. subst q. exists (Q2R q').
      assert (H1 := slope_fits). assert (H' := slope_sums). unfold loss_fits in H1. unfold loss_sums in H'. rewrite Es in H1, H'.
      apply andb_true_iff in H'. destruct H' as [_ H']. unfold phi in *. destruct (loss c) as [f |]; cbn [slope_value] in *.
      * cbv zeta in H1. parts H1. apply andb_true_iff in H'. destruct H' as [_ H']. apply andb_true_iff in H'. destruct H' as [Hr Hq].
        apply Qle_R in Hq. rewrite RMicromega.Q2R_0 in Hq. apply Qeq_bool_eq, Qeq_eqR in Hr. rewrite RMicromega.Q2R_0 in Hr.
        split; [exact Hq | split; [apply upper_ok |]]. intros j a b y Hj Ha Hb' _. unfold rho. rewrite Hr, !Rmult_0_l, !Rminus_0_r.
        unfold act. rewrite <- !compose_value. replace (N c - 1)%nat with j in * by lia.
        apply (lipschitz (value (compose f (r (L c j)))) (first (compose f (r (L c j)))) (Z c j)); auto; intros t Ht;
          destruct (in_range_ok prec _ 1 _ _ _ ltac:(lia) K2 t Ht) as [Gt B]; unfold derivative, pick in B.
        -- now apply value_derive.
        -- rewrite Q2R_opp in B. apply Rabs_le. lra.
      * parts H'. discriminate.
    + intros j Hj. cbn [the_setting limit]. replace (N c - 1)%nat with j by lia. apply upper_ok.
    + cbn [the_setting ly2]. eapply U_le; [| apply upper_ok]. rewrite !Q2R_mult. right. unfold rho, B_y. ring.
    + intros j t Hj Ht. destruct (in_layer j Hj t Ht) as (_ & _ & _ & K2 & _). exact K2.
    + intros q b Hq. cbn [the_setting affine] in Hq. destruct (factor c) as [q' |] eqn:Ef; [| discriminate]. apply same in Hq. injection Hq as <- <-.
      unfold factor in Ef. unfold phi, slope_value. destruct (loss c) as [[| | | | [| f | | | | |] [| | | | | |] | |] |]; try discriminate.
      destruct (le 0 f && Qeq_bool (qsigma c) 0) eqn:Es; [| discriminate]. apply same in Ef. subst f. apply andb_true_iff in Es. destruct Es as [E0 Es].
      apply Qle_R in E0. rewrite RMicromega.Q2R_0 in E0. apply Qeq_bool_eq, Qeq_eqR in Es. rewrite RMicromega.Q2R_0 in Es.
      exists (Q2R q'). split; [exact E0 | split; [apply upper_ok | split; [exact Es | split; [reflexivity |]]]].
      intros j Hj. replace j with (N c - 1)%nat by lia. eapply U_le; [| apply upper_ok]. unfold bow. rewrite Q2R_half, Q2R_plus, !Q2R_mult, Q2R_plus, !Q2R_mult.
      replace (Q2R 3) with 3 by (unfold Q2R; simpl; lra). right. reflexivity.
    + intros t Ht. destruct (Hpass t Ht) as (Hx & Hy & He & Hb'). repeat (split; [assumption |]). apply block_near with (1 := all_lemmas); assumption.
    + unfold first_cell. now rewrite map_length.
    + intros j cc Hj t Ht. unfold first_cell in Hj. rewrite nth_error_map in Hj. destruct (nth_error (layers c) j) as [l |] eqn:El; [| discriminate].
      apply same in Hj. assert (HjN : (j < N c)%nat) by (apply nth_error_Some; congruence).
      assert (E : l = L c j) by (symmetry; unfold L; now apply nth_error_nth). subst l cc. cbn [fst snd].
      assert (Ha := act_range j t HjN Ht). destruct (in_layer j HjN t Ht) as (_ & Hs & _).
      layer j HjN. split.
      * destruct (le (fst (cell (L c j))) 0) eqn:E0; [apply Lo_zero, Rabs_pos |].
        apply Lo_le with (Q2R (fst (cell (L c j)))); [| apply Lo_low, rational_ok]. match goal with X : false || _ || _ = true |- _ => rename X into O end. clear - O E0 Hs.
        rewrite orb_false_l in O. apply orb_true_iff in O. destruct O as [K | K]; apply Qle_R in K.
        -- eapply Rle_trans; [| apply Rle_abs]. lra.
        -- rewrite Q2R_opp in K. rewrite <- Rabs_Ropp. eapply Rle_trans; [| apply Rle_abs]. lra.
      * eapply U_le; [| apply upper_ok]. eapply Rle_trans; [exact Ha |]. now apply Qle_R.
  - intros j Hj. layer j Hj. split.
    + assert (Q2R (qBv c * qBv c) <= Q2R (qhalf (L c j) * qhalf (L c j) * inject_Z (Z.of_nat (dim c j)))) by now apply Qle_R.
      rewrite !Q2R_mult, Q2R_nat in H. unfold half. simpl. rewrite !Rmult_1_r. exact H.
    + intros t Ht. apply is_derive_unique, value_derive. now apply (in_layer j Hj t Ht).
Qed.

Theorem gradient_ok : gradient_of_loss c.
Proof.
  intros ell n V X Y p z g s Hl Hbox Hin j k i Hj Hk Hi. apply (gradient_is _ _ _ _ (dact c) (phi c) (rho c) (sigma c) ell n X Y p z g s Hl); auto.
  intros t Ht. destruct (Hin t Ht) as (Hx & Pass). split; [exact Pass |]. intros l m Hl' Hm. apply value_derive, (in_layer l Hl').
  assert (Near := exact_near _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ all_ranges _ _ _ _ _ _ Pass).
  exact (z_in _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ all_ranges Hbox _ _ _ _ _ _ _ Near Hx l m Hl' Hm).
Qed.
End Proof.
End Proof.
