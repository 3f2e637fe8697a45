(* One token: what `run` computes bounds the error of its whole gradient. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval.
From ICGD Require Import vectors up cells rows.
Import ListNotations.
Open Scope R_scope.

Module Token (F : FloatOps).
Module Import Ro := Rows F.
Import Ro.C Ro.C.B.

Ltac pos := first [apply Rabs_pos | apply norm_nonneg | apply norm1_nonneg | apply sr_pos | apply pos_INR | assumption | lra].

Lemma sup_exists n (f : nat -> R) : (0 < n)%nat -> exists k0, (k0 < n)%nat /\ forall k, (k < n)%nat -> Rabs (f k) <= Rabs (f k0).
Proof.
  induction n as [| n IH]; intros Hn; [lia |]. destruct n as [| n].
  - exists 0%nat. split; [lia |]. intros k Hk. replace k with 0%nat by lia. lra.
  - destruct IH as (k0 & H0 & H); [lia |]. destruct (Rle_dec (Rabs (f k0)) (Rabs (f (S n)))) as [L | L].
    + exists (S n). split; [lia |]. intros k Hk. destruct (Nat.eq_dec k (S n)) as [-> | Hne]; [lra |].
      eapply Rle_trans; [apply H; lia | exact L].
    + exists k0. split; [lia |]. intros k Hk. destruct (Nat.eq_dec k (S n)) as [-> | Hne]; [lra | apply H; lia].
Qed.

(* a number that bounds f, and that every float bounds which bounds f *)
Lemma sup n (f : nat -> R) : (0 < n)%nat -> exists L, 0 <= L /\ (forall k, (k < n)%nat -> Rabs (f k) <= L) /\
  forall h, (forall k, (k < n)%nat -> U (Rabs (f k)) h) -> U L h.
Proof.
  intros Hn. destruct (sup_exists n f Hn) as (k0 & H0 & H). exists (Rabs (f k0)). split; [apply Rabs_pos |]. split; auto.
Qed.

Section OneToken.
Variable prec : F.precision.
Notation add := (add prec).
Notation mul := (mul prec).
Notation root := (root prec).

Variables (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact d2act : nat -> R -> R).
Variables (half rt : nat -> R) (By lip phi0 tilt el rho : R) (ez er ed ex eg eu Z C2 C3 G : nat -> R) (P0 : R).
Hypothesis dim_pos : forall j, (j <= N)%nat -> (0 < dim j)%nat.
Hypothesis nonneg : forall j, (j < N)%nat -> 0 <= half j /\ 0 <= rt j /\ 0 <= ez j /\ 0 <= er j /\ 0 <= ed j /\ 0 <= ex j /\ 0 <= eg j /\ 0 <= eu j /\ 0 <= C2 j /\ 0 <= C3 j.
Hypothesis lip_ok : 0 <= lip /\ 0 <= By /\ 0 <= phi0 /\ 0 <= tilt /\ 0 <= el.
Hypothesis row_norm : forall j k f, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (sum (dim j) (fun i => V j k i * f i)) <= half j * rt j * norm (dim j) f.
Hypothesis boxed : forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> Rabs (V j k i) <= half j.
Hypothesis act_bend : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j ->
  Rabs (act j a - act j b) <= (Rabs (dact j b) + C2 j / 2 * Rabs (a - b)) * Rabs (a - b).
Hypothesis dact_bend : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j ->
  Rabs (dact j a - dact j b) <= (Rabs (d2act j b) + C3 j / 2 * Rabs (a - b)) * Rabs (a - b).

(* one token, exactly and as computed *)
Variables (x y : nat -> R) (p z g s p' z' d' g' s' : nat -> nat -> R).
Hypothesis Ep0 : forall i, (i < dim 0)%nat -> p 0%nat i = x i /\ p' 0%nat i = x i.
Hypothesis Hx : norm (dim 0) x <= P0.
Hypothesis Hy : norm (dim N) y <= By.
Hypothesis Ez : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> z j k = sum (dim j) (fun i => V j k i * p j i).
Hypothesis Ep : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> p (S j) k = act j (z j k).
Hypothesis Es : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> s j k = dact j (z j k) * g j k.
Hypothesis Eb : forall j k, (S j < N)%nat -> (k < dim (S j))%nat -> g j k = sum (dim (S (S j))) (fun l => V (S j) l k * s (S j) l).
Hypothesis Hz : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z j k) <= Z j /\ Rabs (z' j k) <= Z j.
Hypothesis Hg : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (g j k) <= G j.
Hypothesis Nz : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z' j k - sum (dim j) (fun i => V j k i * p' j i)) <= ez j.
Hypothesis Np : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (p' (S j) k - act j (z' j k)) <= er j.
Hypothesis Nd : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (d' j k - dact j (z' j k)) <= ed j.
Hypothesis Ns : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (s' j k - d' j k * g' j k) <= ex j.
Hypothesis Nb : forall j k, (S j < N)%nat -> (k < dim (S j))%nat ->
  Rabs (g' j k - sum (dim (S (S j))) (fun l => V (S j) l k * s' (S j) l)) <= eg j.

(* the loss slope: its size, and how far it moves *)
Hypothesis Hu : forall j k, S j = N -> (k < dim N)%nat -> Rabs (g j k) <= phi0 + lip * Rabs (p N k) + tilt * Rabs (y k).
Hypothesis Hm : forall j k, S j = N -> (k < dim N)%nat ->
  Rabs (g' j k - g j k) <= lip * Rabs (act j (z' j k) - act j (z j k)) + el.

Variables (set : setting) (lay : nat -> layer).
Record layer_ok (j : nat) : Prop := {
  lo_box : U (half j) (box (lay j)); lo_size : U (INR (dim (S j))) (size (lay j)); lo_unit : U (sr (dim (S j))) (unit (lay j));
  lo_ez : U (ez j) (lez (lay j)); lo_er : U (er j) (ler (lay j)); lo_ed : U (ed j) (led (lay j)); lo_ex : U (ex j) (lex (lay j));
  lo_eg : U (eg j) (leg (lay j)); lo_eu : U (eu j) (leu (lay j));
  lo_2 : U (C2 j / 2) (half2 (lay j)); lo_3 : U (C3 j / 2) (half3 (lay j));
  lo_rows : List.Forall (row_ok (Z j) (act j) (dact j) (d2act j)) (rows (lay j))
}.
Hypothesis layers_ok : forall j, (j < N)%nat -> layer_ok j.
Hypothesis set_Bx : U P0 (Bx set).
Hypothesis set_Bv : forall j, (j < N)%nat -> U (half j * rt j) (Bv set).
Hypothesis set_By : U By (lBy set).
Hypothesis set_lip : U lip (llip set).
Hypothesis set_phi0 : U phi0 (lphi0 set).
Hypothesis set_tilt : U tilt (ltilt set).
Hypothesis set_local : U el (local set).
Hypothesis set_steep : forall q, steep set = Some q -> exists r, 0 <= r /\ U r q /\
  forall j k, S j = N -> (k < dim N)%nat -> Rabs (g' j k - g j k) <= r * Rabs (z' j k - z j k) + el.
Hypothesis set_G : forall j, S j = N -> U (G j) (limit set).
Hypothesis rho_ok : 0 <= rho.
Hypothesis set_y2 : U ((rho * By) ^ 2) (ly2 set).
Hypothesis set_affine : forall q bow, affine set = Some (q, bow) -> exists c B, 0 <= c /\ 0 <= B /\ U c q /\ U B bow /\
  forall j k, S j = N -> (k < dim N)%nat ->
    g j k = c * (act j (z j k) - rho * y k) /\ Rabs (g' j k - c * (act j (z' j k) - rho * y k)) <= el /\
    Rabs (dact j (z' j k) * (act j (z' j k) - rho * y k) - dact j (z j k) * (act j (z j k) - rho * y k)) <=
      (Rabs (dact j (z j k) * dact j (z j k) + (act j (z j k) - rho * y k) * d2act j (z j k)) + B * Rabs (z' j k - z j k)) * Rabs (z' j k - z j k).

Definition dp j k := p' j k - p j k.
Definition dz j k := dact j (z j k).
Definition d2z j k := d2act j (z j k).
Definition pushed j w k := act j (z j k) * dz j k + dz j k * w k.
Definition turned j w k := (dz j k * dz j k + act j (z j k) * d2z j k) + d2z j k * w k.
Definition moved j k := act j (z' j k) - act j (z j k).
Definition dd j k := d' j k - dz j k.
Definition dg j k := g' j k - g j k.
Definition ds j k := s' j k - s j k.
Definition rms (j : nat) : R := norm (dim (S j)) (fun k => act j (z j k)) / sr (dim (S j)).

Record inv (j : nat) (st : state) : Prop := {
  iv_p : U (norm (dim j) (p j)) (sp st); iv_1 : U (norm1 (dim j) (dp j)) (sd1 st); iv_2 : U (norm (dim j) (dp j)) (sd2 st)
}.

Record facts_ok (j : nat) (f : facts) : Prop := {
  fo_1 : U (norm1 (dim (S j)) (dz j)) (fa1 f); fo_2 : U (norm (dim (S j)) (dz j)) (fa2 f);
  fo_b : U (norm (dim (S j)) (d2z j)) (fb2 f);
  fo_top : forall k, (k < dim (S j))%nat -> U (Rabs (dz j k)) (ftop f);
  fo_bent : forall k, (k < dim (S j))%nat -> U (Rabs (d2z j k)) (fbent f);
  fo_peak : forall k, (k < dim (S j))%nat -> U (Rabs (act j (z j k))) (fpeak f);
  fo_dd : exists sh th, 0 <= sh /\ 0 <= th /\ U sh (fshift f) /\ U th (fthird f) /\ forall k, (k < dim (S j))%nat ->
    Rabs (z' j k - z j k) <= sh /\ Rabs (dd j k) <= sh * Rabs (d2z j k) + th;
  fo_bow1 : U (norm1 (dim (S j)) (dd j)) (bow1 f); fo_bow2 : U (norm (dim (S j)) (dd j)) (bow2 f);
  fo_move : forall k, (k < dim (S j))%nat -> U (Rabs (moved j k)) (fmove f);
  fo_move2 : U (norm (dim (S j)) (moved j)) (fmove2 f);
  fo_p : U (norm (dim j) (p j)) (inp f); fo_dp : U (norm (dim j) (dp j)) (ind2 f);
  fo_signal : forall w, norm (dim (S j)) w <= rho * By -> U (norm (dim (S j)) (pushed j w)) (fsignal f);
  fo_drift : forall w, norm (dim (S j)) w <= rho * By -> U (norm (dim (S j)) (turned j w)) (fdrift f)
}.

Lemma norm_sum_const n sh f c : 0 <= sh -> 0 <= c -> norm n (fun k => sh * (Rabs (f k) + c)) <= sh * (norm n f + sr n * c).
Proof.
  intros Hs Hc. rewrite (norm_scal n sh (fun k => Rabs (f k) + c)), Rabs_pos_eq by auto. apply Rmult_le_compat_l; auto.
  eapply Rle_trans. apply (norm_triangle n (fun k => Rabs (f k)) (fun _ => c)). rewrite norm_abs, norm_const, Rabs_pos_eq by auto. lra.
Qed.

Lemma sum_sum_const n sh f c : 0 <= sh -> sum n (fun k => sh * (Rabs (f k) + c)) = sh * (norm1 n f + INR n * c).
Proof. intros Hs. rewrite (sum_scal n sh (fun k => Rabs (f k) + c)), (sum_plus n (fun k => Rabs (f k)) (fun _ => c)), sum_const. reflexivity. Qed.

Lemma sr_gt n : (0 < n)%nat -> 0 < sr n.
Proof. intros H. apply sqrt_lt_R0. now apply lt_0_INR. Qed.

Lemma forward1_ok j cell st : (j < N)%nat -> inv j st -> Lo (rms j) (fst cell) -> U (rms j) (snd cell) ->
  exists f st', forward1 prec set (lay j) cell st = Some (f, st') /\ facts_ok j f /\ inv (S j) st'.
Proof.
  intros Hj [Ip I1 I2] HL HU. destruct (layers_ok j Hj). destruct (nonneg j Hj) as (Ph & Pr & Pez & Per & Ped & Pex & Peg & Peu & P2 & P3).
  set (n := dim (S j)) in *. assert (Hn : (0 < n)%nat) by (apply dim_pos; lia).
  assert (Pn := sr_gt n Hn). assert (PI : 0 < INR n) by now apply lt_0_INR.
  unfold forward1.
  set (r := find_row (rows (lay j)) (mul (Bv set) (sp st))).
  destruct (find_row_ok (Z j) (act j) (dact j) (d2act j) (rows (lay j)) (mul (Bv set) (sp st)) lo_rows0) as [Rok Redge]. fold r in Rok, Redge.
  assert (Row : forall k, (k < n)%nat -> _) by (intros k Hk; exact (Rok (z j k) (proj1 (Hz j k Hj Hk))
    (Redge _ (U_le _ _ _ (eq_ind_r (fun v => Rabs v <= _) (row_norm j k (p j) Hj Hk) (Ez j k Hj Hk))
       (U_mul prec _ _ _ _ (Rmult_le_pos _ _ Ph Pr) (norm_nonneg _ _) (set_Bv j Hj) Ip))))).
  assert (Hv0 : 0 <= rms j) by (apply Rmult_le_pos; [apply norm_nonneg | left; now apply Rinv_0_lt_compat]).
  set (lo := mx (fst cell) (least r)). set (hi := mn (snd cell) (peak0 r)).
  assert (Hlo : Lo (rms j) lo). { apply Lo_mx; auto. apply (Lo_rms n (fun k => act j (z j k))); auto. intros k Hk. apply (Row k Hk). }
  assert (Hhi : U (rms j) hi). { apply U_mn; auto. apply (U_rms n (fun k => act j (z j k))); auto. intros k Hk. apply (Row k Hk). }
  rewrite (not_ltb _ _ _ Hhi Hlo).
  assert (Hsq : sum n (fun k => act j (z j k) ^ 2) / INR n = rms j ^ 2).
  { unfold rms. fold n. unfold Rdiv. rewrite Rpow_mult_distr, norm_sq, pow_inv, sr_sq. reflexivity. }
  assert (Hlow : Lo (sum n (fun k => act j (z j k) ^ 2) / INR n) (square_below prec lo)) by (rewrite Hsq; now apply Lo_square).
  assert (Hhigh : U (sum n (fun k => act j (z j k) ^ 2) / INR n) (mul hi hi)).
  { rewrite Hsq. simpl. rewrite Rmult_1_r. now apply U_mul. }
  set (low2 := square_below prec lo) in *. set (high2 := mul hi hi) in *.
  set (a2 := mn (root (mul (size (lay j)) (average prec (slope2 r) low2 high2))) (mul (unit (lay j)) (peak1 r))).
  set (a1 := mn (mul (size (lay j)) (average prec (slope1 r) low2 high2)) (mul (unit (lay j)) a2)).
  set (b2 := mn (root (mul (size (lay j)) (average prec (bend2 r) low2 high2))) (mul (unit (lay j)) (peak2 r))).
  assert (RS : forall h w, U (sum n (fun k => h k ^ 2) / INR n) w -> U (norm n h) (root (mul (size (lay j)) w))).
  { intros h w Hw. unfold norm. replace (sum n (fun i => h i ^ 2)) with (INR n * (sum n (fun i => h i ^ 2) / INR n)) by (field; lra).
    apply U_root, U_mul; auto; try lra. apply Rmult_le_pos. apply sum_nonneg; intros; apply pow2_ge_0. left; now apply Rinv_0_lt_compat. }
  assert (RM : forall h w, (forall k, (k < n)%nat -> U (Rabs (h k)) w) -> U (norm n h) (mul (unit (lay j)) w)).
  { intros h w Hw. replace (norm n h) with (sr n * (norm n h / sr n)) by (field; lra).
    apply U_mul; auto; try lra. apply Rmult_le_pos. apply norm_nonneg. left; now apply Rinv_0_lt_compat. now apply U_rms. }
  assert (Ha2 : U (norm n (dz j)) a2).
  { apply U_mn. apply RS. apply average_ok with (r := fun k => act j (z j k)); auto. intros k Hk. apply (Row k Hk). apply RM. intros k Hk. apply (Row k Hk). }
  assert (Ha1 : U (norm1 n (dz j)) a1).
  { apply U_mn.
    - replace (norm1 n (dz j)) with (INR n * (norm1 n (dz j) / INR n)) by (field; lra). apply U_mul; auto; try lra.
      apply Rmult_le_pos. apply norm1_nonneg. left; now apply Rinv_0_lt_compat.
      apply (average_ok prec n (fun k => Rabs (dz j k)) (fun k => act j (z j k))); auto. intros k Hk. apply (Row k Hk).
    - eapply U_le. apply norm1_norm. apply U_mul; auto; pos. }
  assert (Hb2 : U (norm n (d2z j)) b2).
  { apply U_mn. apply RS. apply average_ok with (r := fun k => act j (z j k)); auto. intros k Hk. apply (Row k Hk). apply RM. intros k Hk. apply (Row k Hk). }
  set (sh := half j * norm1 (dim j) (dp j) + ez j).
  assert (Psh : 0 <= sh). { unfold sh. assert (0 <= half j * norm1 (dim j) (dp j)) by (apply Rmult_le_pos; pos). lra. }
  set (shift := add (mul (box (lay j)) (sd1 st)) (lez (lay j))).
  assert (Hsh : U sh shift) by (apply U_add; auto; apply U_mul; auto; pos).
  assert (Hdz : forall k, (k < n)%nat -> Rabs (z' j k - z j k) <= sh).
  { intros k Hk. rewrite Ez by auto.
    replace (z' j k - sum (dim j) (fun i => V j k i * p j i)) with
      (sum (dim j) (fun i => V j k i * dp j i) + (z' j k - sum (dim j) (fun i => V j k i * p' j i))).
    - apply Rabs_sum2; auto. apply row1; auto.
    - rewrite (sum_ext _ (fun i => V j k i * dp j i) (fun i => V j k i * p' j i + -1 * (V j k i * p j i)))
        by (intros; unfold dp; ring). rewrite sum_plus, sum_scal. ring. }
  set (bd := C2 j / 2 * sh). assert (Pbd : 0 <= bd) by (apply Rmult_le_pos; lra).
  set (bend := mul (half2 (lay j)) shift). assert (Hbd : U bd bend) by (apply U_mul; auto; lra).
  assert (Hmv : forall k, (k < n)%nat -> Rabs (moved j k) <= sh * (Rabs (dz j k) + bd)).
  { intros k Hk. eapply Rle_trans. apply act_bend; auto; apply Hz; auto. rewrite (Rmult_comm sh).
    assert (A := Hdz k Hk). assert (B0 := Rabs_pos (z' j k - z j k)). assert (D0 := Rabs_pos (dact j (z j k))).
    apply Rmult_le_compat; auto. { assert (0 <= C2 j / 2 * Rabs (z' j k - z j k)) by (apply Rmult_le_pos; lra). lra. }
    unfold dz. apply Rplus_le_compat_l. unfold bd. apply Rmult_le_compat_l; lra. }
  set (th := C3 j / 2 * (sh * sh) + ed j).
  assert (Pth : 0 <= th). { unfold th. assert (0 <= C3 j / 2 * (sh * sh)) by (apply Rmult_le_pos; [lra | now apply Rmult_le_pos]). lra. }
  set (third := add (mul (half3 (lay j)) (mul shift shift)) (led (lay j))).
  assert (Hth : U th third). { apply U_add; auto. apply U_mul; auto. lra. now apply Rmult_le_pos. now apply U_mul. }
  assert (Hdd : forall k, (k < n)%nat -> Rabs (dd j k) <= sh * Rabs (d2z j k) + th).
  { intros k Hk. unfold dd, dz. replace (d' j k - dact j (z j k)) with ((dact j (z' j k) - dact j (z j k)) + (d' j k - dact j (z' j k))) by ring.
    eapply Rle_trans. apply Rabs_triang. unfold th. rewrite <- Rplus_assoc. apply Rplus_le_compat; auto.
    eapply Rle_trans. apply dact_bend; auto; apply Hz; auto. rewrite <- Rmult_assoc, (Rmult_comm (C3 j / 2 * sh)), <- Rmult_plus_distr_l, Rmult_comm.
    assert (A := Hdz k Hk). assert (B0 := Rabs_pos (z' j k - z j k)). assert (D0 := Rabs_pos (d2act j (z j k))).
    apply Rmult_le_compat; auto. { assert (0 <= C3 j / 2 * Rabs (z' j k - z j k)) by (apply Rmult_le_pos; lra). lra. }
    unfold d2z. apply Rplus_le_compat_l. apply Rmult_le_compat_l; lra. }
  assert (Hm2 : U (norm n (moved j)) (mul shift (add a2 (mul (unit (lay j)) bend)))).
  { eapply U_le. eapply Rle_trans. apply norm_le. intros k Hk. apply (Hmv k Hk). now apply norm_sum_const.
    apply U_mul; auto. assert (0 <= norm n (dz j)) by pos. assert (0 <= sr n * bd) by (apply Rmult_le_pos; lra). lra.
    apply U_add; auto. apply U_mul; auto; lra. }
  assert (Hm1 : U (norm1 n (moved j)) (mul shift (add a1 (mul (size (lay j)) bend)))).
  { eapply U_le. eapply Rle_trans. apply norm1_le. intros k Hk. apply (Hmv k Hk). rewrite sum_sum_const by auto. apply Rle_refl.
    apply U_mul; auto. assert (0 <= norm1 n (dz j)) by pos. assert (0 <= INR n * bd) by (apply Rmult_le_pos; lra). lra.
    apply U_add; auto. apply U_mul; auto; lra. }
  assert (Hw2 : forall w, norm n w <= rho * By -> U (sum n (fun k => w k ^ 2)) (ly2 set)).
  { intros w Hw. eapply U_le; [| exact set_y2]. rewrite <- norm_sq. apply pow_incr. split; [apply norm_nonneg | exact Hw]. }
  eexists. eexists. split; [reflexivity |]. split.
  - constructor; cbn [fa1 fa2 fb2 ftop fbent fpeak fshift fthird bow1 bow2 fmove fmove2 inp ind2 fsignal fdrift]; fold n; auto.
    + intros k Hk. apply (Row k Hk).
    + intros k Hk. apply (Row k Hk).
    + intros k Hk. apply (Row k Hk).
    + exists sh, th. repeat (split; [assumption |]). auto.
    + eapply U_le. eapply Rle_trans. apply norm1_le. intros k Hk. apply (Hdd k Hk).
      rewrite sum_plus, sum_const, (sum_scal n sh (fun k => Rabs (d2z j k))). apply Rplus_le_compat_r. apply Rmult_le_compat_l; auto. apply norm1_norm.
      apply U_add; apply U_mul; auto; try lra. apply Rmult_le_pos; pos. apply U_mul; auto; pos.
    + eapply U_le. eapply Rle_trans. apply norm_le. intros k Hk. apply (Hdd k Hk).
      eapply Rle_trans. apply (norm_triangle n (fun k => sh * Rabs (d2z j k)) (fun _ => th)).
      rewrite (norm_scal n sh (fun k => Rabs (d2z j k))), norm_abs, norm_const, !Rabs_pos_eq by auto. apply Rle_refl.
      apply U_add; apply U_mul; auto; pos.
    + intros k Hk. eapply U_le. apply (Hmv k Hk). apply U_mul; auto. assert (0 <= Rabs (dz j k)) by pos. lra.
      apply U_add; auto. apply (Row k Hk).
    + intros w Hw. apply (joint_norm prec n (fun k => act j (z j k) * dz j k) (dz j) (fun k => act j (z j k))); auto.
      intros k Hk. apply (Row k Hk).
    + intros w Hw. apply (joint_norm prec n (fun k => dz j k * dz j k + act j (z j k) * d2z j k) (d2z j) (fun k => act j (z j k))); auto.
      intros k Hk. apply (Row k Hk).
  - assert (Hdp : forall k, (k < n)%nat -> dp (S j) k = moved j k + (p' (S j) k - act j (z' j k))).
    { intros k Hk. unfold dp, moved. rewrite Ep by auto. ring. }
    constructor; cbn [sp sd1 sd2]; fold n.
    + replace (norm n (p (S j))) with (sr n * rms j).
      * apply U_mul; auto; lra.
      * unfold rms. fold n. rewrite (norm_ext n (p (S j)) (fun k => act j (z j k))) by (intros; now apply Ep). field; lra.
    + eapply U_le. rewrite (norm1_ext n (dp (S j)) _ Hdp). eapply Rle_trans. apply norm1_triangle. apply Rplus_le_compat_l.
      apply (norm1_const n (er j)). intros k Hk. now apply Np. apply U_add; auto. apply U_mul; auto; lra.
    + eapply U_le. rewrite (norm_ext n (dp (S j)) _ Hdp). eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat_l.
      apply (norm_sr n _ (er j)); auto. apply U_add; auto. apply U_mul; auto; lra.
Qed.


Lemma Ut n f h fl gl : (0 < n)%nat -> (forall k, (k < n)%nat -> U (Rabs (f k)) fl) -> U (norm n h) gl ->
  U (norm n (fun k => f k * h k)) (mul fl gl).
Proof.
  intros Hn Hf Hh. destruct (sup n f Hn) as (L & PL & HL & HU). eapply U_le. apply (norm_product n L f h PL HL). apply U_mul; auto; pos.
Qed.

Lemma Ut' n f h fl gl : (0 < n)%nat -> (forall k, (k < n)%nat -> U (Rabs (f k)) fl) -> U (norm n h) gl ->
  U (norm n (fun k => f k * h k)) (mul gl fl).
Proof.
  intros Hn Hf Hh. destruct (sup n f Hn) as (L & PL & HL & HU). eapply U_le. apply (norm_product n L f h PL HL).
  rewrite Rmult_comm. apply U_mul; auto; pos.
Qed.

Lemma U1t n f h fl gl : (0 < n)%nat -> (forall k, (k < n)%nat -> U (Rabs (f k)) fl) -> U (norm1 n h) gl ->
  U (norm1 n (fun k => f k * h k)) (mul fl gl).
Proof.
  intros Hn Hf Hh. destruct (sup n f Hn) as (L & PL & HL & HU). eapply U_le. apply (norm1_product n L f h HL). apply U_mul; auto; pos.
Qed.

Lemma U1t' n f h fl gl : (0 < n)%nat -> (forall k, (k < n)%nat -> U (Rabs (f k)) fl) -> U (norm1 n h) gl ->
  U (norm1 n (fun k => f k * h k)) (mul gl fl).
Proof.
  intros Hn Hf Hh. destruct (sup n f Hn) as (L & PL & HL & HU). eapply U_le. apply (norm1_product n L f h HL).
  rewrite Rmult_comm. apply U_mul; auto; pos.
Qed.

Lemma norm_swap n f h : norm n (fun k => f k * h k) = norm n (fun k => h k * f k).
Proof. apply norm_ext. intros. ring. Qed.

Lemma norm1_swap n f h : norm1 n (fun k => f k * h k) = norm1 n (fun k => h k * f k).
Proof. apply norm1_ext. intros. ring. Qed.

Record back_ok (j : nat) (b : back) : Prop := {
  bo_1 : U (norm1 (dim (S j)) (s j)) (s1 b); bo_2 : U (norm (dim (S j)) (s j)) (s2 b);
  bo_d1 : U (norm1 (dim (S j)) (ds j)) (ds1 b); bo_d2 : U (norm (dim (S j)) (ds j)) (ds2 b)
}.

Lemma output_ok j f st : S j = N -> facts_ok j f -> inv (S j) st -> back_ok j (output prec set (lay j) f st).
Proof.
  intros HN O [Ip _ _]. assert (Hj : (j < N)%nat) by lia. destruct (layers_ok j Hj).
  destruct (nonneg j Hj) as (Ph & Pr & Pez & Per & Ped & Pex & Peg & Peu & P2 & P3). destruct O.
  destruct lip_ok as (Pl & PB & P0' & Pt & Ploc). destruct fo_dd0 as (sh & th & Psh & Pth & Hsh & Hth & Hzd).
  set (n := dim (S j)) in *. assert (Hn : (0 < n)%nat) by (apply dim_pos; lia).
  assert (En : n = dim N) by (unfold n; now rewrite HN).
  assert (Hz' : forall k, (k < n)%nat -> Rabs (z' j k - z j k) <= sh) by (intros; now apply Hzd).
  assert (Hdd : forall k, (k < n)%nat -> Rabs (dd j k) <= sh * Rabs (d2z j k) + th) by (intros; now apply Hzd).
  assert (Hu' : forall k, (k < n)%nat -> Rabs (g j k) <= phi0 + lip * Rabs (p (S j) k) + tilt * Rabs (y k)).
  { intros k Hk. rewrite HN. apply Hu; auto. now rewrite <- En. }
  assert (Hy' : norm n y <= By) by now rewrite En.
  assert (HG : forall k, (k < n)%nat -> U (Rabs (g j k)) (limit set)) by (intros k Hk; eapply U_le; [apply Hg; auto | now apply set_G]).
  (* the 2-norm of the slope times h, entry by entry *)
  assert (Parts : forall h, norm n (fun k => g j k * h k) <=
    lip * norm n (fun k => h k * p (S j) k) + phi0 * norm n h + tilt * norm n (fun k => h k * y k)).
  { intros h. eapply Rle_trans. apply (norm_le n _ (fun k => (lip * Rabs (h k * p (S j) k) + phi0 * Rabs (h k)) + tilt * Rabs (h k * y k))).
    - intros k Hk. rewrite !Rabs_mult. eapply Rle_trans. apply Rmult_le_compat_r. apply Rabs_pos. now apply Hu'. right. ring.
    - eapply Rle_trans. apply (norm_triangle n (fun k => lip * Rabs (h k * p (S j) k) + phi0 * Rabs (h k)) (fun k => tilt * Rabs (h k * y k))).
      apply Rplus_le_compat. eapply Rle_trans. apply (norm_triangle n (fun k => lip * Rabs (h k * p (S j) k)) (fun k => phi0 * Rabs (h k))).
      apply Rplus_le_compat. 1, 2, 3: rewrite norm_scal, Rabs_pos_eq by assumption; rewrite norm_abs; apply Rle_refl. }
  assert (Against : forall h largest norm2, (forall k, (k < n)%nat -> U (Rabs (h k)) largest) -> U (norm n h) norm2 ->
    U (norm n (fun k => g j k * h k))
      (mn (add (add (mul (llip set) (mn (mul largest (sp st)) (mul (fpeak f) norm2))) (mul (lphi0 set) norm2))
             (mul (ltilt set) (mul largest (lBy set)))) (mul (limit set) norm2))).
  { intros h largest norm2 H1 H2. apply U_mn; [| apply Ut; auto]. eapply U_le. apply Parts. destruct (sup n h Hn) as (L & PL & HL' & HU).
    apply U_add; [apply U_add |]; apply U_mul; auto; try pos.
    - apply U_mn. apply Ut; auto. rewrite norm_swap. apply Ut; auto. intros k Hk. rewrite Ep by auto. auto.
    - eapply U_le. apply (norm_product n L h y PL HL'). apply U_mul; auto; try pos. now apply U_le with By. }
  unfold output.
  assert (Hdgk : forall k, (k < n)%nat -> Rabs (dg j k) <= lip * Rabs (moved j k) + el).
  { intros k Hk. unfold dg, moved. apply Hm; auto. now rewrite <- En. }
  set (dgf := add (either prec set (fmove f) (fshift f)) (local set)).
  assert (Hdg : forall k, (k < n)%nat -> U (Rabs (dg j k)) dgf).
  { intros k Hk. unfold dgf, either. destruct (steep set) as [q |] eqn:Eq.
    - destruct (set_steep q eq_refl) as (r & Pr' & Ur & Hr). apply U_le with (Rabs (dg j k) - el + el); [lra |].
      apply U_add; auto. apply U_mn.
      + eapply U_le with (lip * Rabs (moved j k)). assert (K := Hdgk k Hk). lra. apply U_mul; auto; pos.
      + eapply U_le with (r * sh). 2: now apply U_mul.
        assert (K := Hr j k HN ltac:(now rewrite <- En)). assert (r * Rabs (z' j k - z j k) <= r * sh) by (apply Rmult_le_compat_l; auto). unfold dg. lra.
    - eapply U_le. apply (Hdgk k Hk). apply U_add; auto. apply U_mul; auto; pos. }
  set (dg2 := add (either prec set (fmove2 f) (mul (unit (lay j)) (fshift f))) (mul (unit (lay j)) (local set))).
  assert (Hdg2 : U (norm n (dg j)) dg2).
  { unfold dg2, either. destruct (steep set) as [q |] eqn:Eq.
    - destruct (set_steep q eq_refl) as (r & Pr' & Ur & Hr). apply U_le with (norm n (dg j) - sr n * el + sr n * el); [lra |].
      apply U_add; [| apply U_mul; auto; pos]. apply U_mn.
      + eapply U_le with (lip * norm n (moved j)); [| apply U_mul; auto; pos].
        assert (norm n (dg j) <= lip * norm n (moved j) + sr n * el); [| lra].
        eapply Rle_trans. apply norm_le. intros k Hk. apply (Hdgk k Hk).
        eapply Rle_trans. apply (norm_triangle n (fun k => lip * Rabs (moved j k)) (fun _ => el)).
        rewrite (norm_scal n lip (fun k => Rabs (moved j k))), norm_abs, norm_const, !Rabs_pos_eq by auto. apply Rle_refl.
      + eapply U_le with (r * (sr n * sh)); [| apply U_mul; auto; [apply Rmult_le_pos; pos | apply U_mul; auto; pos]].
        assert (norm n (dg j) <= sr n * (r * sh + el)); [| lra]. apply norm_sr. assert (0 <= r * sh) by now apply Rmult_le_pos. lra.
        intros k Hk. eapply Rle_trans. apply (Hr j k HN). now rewrite <- En. apply Rplus_le_compat_r. apply Rmult_le_compat_l; auto.
    - eapply U_le. eapply Rle_trans. apply norm_le. intros k Hk. apply (Hdgk k Hk).
      eapply Rle_trans. apply (norm_triangle n (fun k => lip * Rabs (moved j k)) (fun _ => el)).
      rewrite (norm_scal n lip (fun k => Rabs (moved j k))), norm_abs, norm_const, !Rabs_pos_eq by auto. apply Rle_refl.
      apply U_add; apply U_mul; auto; pos. }
  set (nrm := mn (add (add (mul (llip set) (sp st)) (mul (lphi0 set) (unit (lay j)))) (mul (ltilt set) (lBy set))) (mul (unit (lay j)) (limit set))).
  assert (Hng : U (norm n (g j)) nrm).
  { apply U_mn.
    - eapply U_le with (lip * norm n (p (S j)) + phi0 * sr n + tilt * norm n y).
      + rewrite (norm_ext n (g j) (fun k => g j k * 1)) by (intros; ring). eapply Rle_trans. apply (Parts (fun _ => 1)).
        rewrite norm_const, Rabs_R1, Rmult_1_r, (norm_ext n (fun k => 1 * p (S j) k) (p (S j))), (norm_ext n (fun k => 1 * y k) y) by (intros; ring). apply Rle_refl.
      + apply U_add; [apply U_add |]; apply U_mul; auto; try pos. now apply U_le with By.
    - destruct (sup n (g j) Hn) as (L & PL & HL' & HU). eapply U_le. apply (norm_sr n (g j) L PL HL'). apply U_mul; auto; pos. }
  assert (Hs : forall k, (k < n)%nat -> s j k = g j k * dz j k) by (intros k Hk; rewrite Es by auto; unfold dz; ring).
  assert (Hds : forall k, (k < n)%nat -> ds j k = (dz j k * dg j k + dd j k * dg j k) + (g j k * dd j k + (s' j k - d' j k * g' j k))).
  { intros k Hk. unfold ds, dd, dg. rewrite (Hs k Hk). ring. }
  assert (S2 := Against (dz j) (ftop f) (fa2 f) fo_top0 fo_4).
  set (w := fun k => - rho * y k).
  assert (Hw : norm n w <= rho * By).
  { unfold w. rewrite norm_scal, Rabs_Ropp, Rabs_pos_eq by exact rho_ok. now apply Rmult_le_compat_l. }
  assert (Hsig := fo_signal0 w Hw). assert (Hdri := fo_drift0 w Hw).
  cbv zeta. match goal with |- back_ok _ (Back _ ?X _ ?Y) => set (s2f := X); set (ds2f := Y) end.
  assert (S2' : U (norm n (s j)) s2f).
  { unfold s2f. destruct (affine set) as [[q bow] |] eqn:Ea; [| rewrite (norm_ext n (s j) _ Hs); exact S2].
    apply U_mn; [| rewrite (norm_ext n (s j) _ Hs); exact S2].
    destruct (set_affine q bow eq_refl) as (c & B & Pc & PBw & Uc & UB & A).
    rewrite (norm_ext n (s j) (fun k => c * pushed j w k)).
    - rewrite norm_scal, Rabs_pos_eq by exact Pc. apply U_mul; auto; pos.
    - intros k Hk. destruct (A j k HN ltac:(now rewrite <- En)) as (Eg & _). rewrite Es by auto. rewrite Eg. unfold pushed, w, dz. ring. }
  constructor; cbn [s1 s2 ds1 ds2]; fold n.
  - rewrite (norm1_ext n (s j) _ Hs). apply U_mn; [apply U_mn |].
    + eapply U_le with (lip * (norm n (dz j) * norm n (p (S j))) + phi0 * norm1 n (dz j) + tilt * (norm n (dz j) * norm n y)).
      * apply Rle_trans with (sum n (fun k => lip * Rabs (dz j k * p (S j) k) + phi0 * Rabs (dz j k) + tilt * Rabs (dz j k * y k))).
        { apply norm1_le. intros k Hk. rewrite !Rabs_mult. eapply Rle_trans. apply Rmult_le_compat_r. apply Rabs_pos. now apply Hu'. right. ring. }
        rewrite !sum_plus, (sum_scal n lip), (sum_scal n phi0), (sum_scal n tilt).
        repeat apply Rplus_le_compat; try (apply Rmult_le_compat_l; auto; apply (norm1_cauchy n)). apply Rle_refl.
      * apply U_add; [apply U_add |]; apply U_mul; auto; try pos; try (apply Rmult_le_pos; pos); apply U_mul; auto; try pos.
        now apply U_le with By.
    + apply U1t; auto.
    + eapply U_le. apply norm1_norm. rewrite <- (norm_ext n (s j) _ Hs). apply U_mul; auto; pos.
  - exact S2'.
  - rewrite (norm1_ext n (ds j) _ Hds). eapply U_le. eapply Rle_trans. apply norm1_triangle. apply Rplus_le_compat; apply norm1_triangle.
    apply U_add; apply U_add.
    + apply U_mn. eapply U_le. apply norm1_cauchy. apply U_mul; auto; pos. rewrite norm1_swap. apply U1t'; auto.
    + rewrite norm1_swap. apply U1t'; auto.
    + eapply U_le. apply norm1_cauchy. apply U_mul; auto; pos.
    + eapply U_le. apply (norm1_const n (ex j)). intros k Hk. now apply Ns. apply U_mul; auto; pos.
  - unfold ds2f. match goal with |- U _ (match _ with None => ?X | Some _ => _ end) => set (apart := X) end.
    assert (Apart : U (norm n (ds j)) apart).
    {
    rewrite (norm_ext n (ds j) _ Hds). eapply U_le.
      eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat. apply norm_triangle.
      eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat.
      + eapply Rle_trans. apply (norm_le n _ (fun k => sh * Rabs (g j k * d2z j k) + th * Rabs (g j k))).
        * intros k Hk. rewrite Rabs_mult. apply Rle_trans with (Rabs (g j k) * (sh * Rabs (d2z j k) + th)).
          apply Rmult_le_compat_l; auto using Rabs_pos. rewrite Rabs_mult. right. ring.
        * eapply Rle_trans. apply (norm_triangle n (fun k => sh * Rabs (g j k * d2z j k)) (fun k => th * Rabs (g j k))).
          rewrite (norm_scal n sh (fun k => Rabs (g j k * d2z j k))), (norm_scal n th (fun k => Rabs (g j k))), !Rabs_pos_eq by auto.
          rewrite (norm_abs n (fun k => g j k * d2z j k)), (norm_abs n (g j)). apply Rle_refl.
      + apply (norm_sr n _ (ex j)); auto.
      + apply U_add; apply U_add.
        * apply U_mn. apply Ut; auto. rewrite norm_swap. apply Ut'; auto.
        * rewrite norm_swap. apply Ut'; auto.
        * apply U_add; apply U_mul; auto; pos.
        * apply U_mul; auto; pos. }
    destruct (affine set) as [[q bow] |] eqn:Ea; [| exact Apart]. apply U_mn; [| exact Apart].
    destruct (set_affine q bow eq_refl) as (c & B & Pc & PBw & Uc & UB & A).
    set (far := fun k => c * (act j (z' j k) - rho * y k)).
    set (turn := fun k => dact j (z' j k) * (act j (z' j k) - rho * y k) - dact j (z j k) * (act j (z j k) - rho * y k)).
    assert (Hds' : forall k, (k < n)%nat -> ds j k = (c * turn k + d' j k * (g' j k - far k)) + ((d' j k - dact j (z' j k)) * far k + (s' j k - d' j k * g' j k))).
    { intros k Hk. destruct (A j k HN ltac:(now rewrite <- En)) as (Eg & _). unfold ds. rewrite Es by auto. rewrite Eg. unfold turn, far. ring. }
    assert (Hturn : norm n turn <= sh * (norm n (turned j w) + sr n * (B * sh))).
    { eapply Rle_trans. apply (norm_le n turn (fun k => sh * (Rabs (turned j w k) + B * sh))).
      - intros k Hk. destruct (A j k HN ltac:(now rewrite <- En)) as (_ & _ & T). unfold turn. eapply Rle_trans. exact T.
        assert (D := Hz' k Hk). assert (D0 := Rabs_pos (z' j k - z j k)). rewrite (Rmult_comm sh).
        replace (dact j (z j k) * dact j (z j k) + (act j (z j k) - rho * y k) * d2act j (z j k)) with (turned j w k) by (unfold turned, w, dz, d2z; ring).
        assert (0 <= Rabs (turned j w k)) by apply Rabs_pos. assert (0 <= B * Rabs (z' j k - z j k)) by now apply Rmult_le_pos.
        apply Rmult_le_compat; auto; try lra. apply Rplus_le_compat_l. now apply Rmult_le_compat_l.
      - apply norm_sum_const; auto. now apply Rmult_le_pos. }
    assert (Hd' : norm n (d' j) <= norm n (dz j) + norm n (dd j)).
    { rewrite (norm_ext n (d' j) (fun k => dz j k + dd j k)) by (intros; unfold dd; ring). apply norm_triangle. }
    assert (Hfar : norm n far <= norm n (g j) + c * norm n (moved j)).
    { rewrite (norm_ext n far (fun k => g j k + c * moved j k)).
      - eapply Rle_trans. apply norm_triangle. rewrite norm_scal, Rabs_pos_eq by exact Pc. lra.
      - intros k Hk. destruct (A j k HN ltac:(now rewrite <- En)) as (Eg & _). rewrite Eg. unfold far, moved. ring. }
    rewrite (norm_ext n (ds j) _ Hds'). eapply U_le.
    + eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat; eapply Rle_trans; try apply norm_triangle; apply Rplus_le_compat.
      * rewrite norm_scal, Rabs_pos_eq by exact Pc. apply Rmult_le_compat_l; [exact Pc | exact Hturn].
      * rewrite norm_swap. apply Rle_trans with (el * norm n (d' j)).
        { apply norm_product; auto. intros k Hk. apply (A j k HN). now rewrite <- En. }
        apply Rmult_le_compat_l; [exact Ploc | exact Hd'].
      * apply Rle_trans with (ed j * norm n far).
        { apply (norm_product n (ed j) (fun k => d' j k - dact j (z' j k))); auto. }
        apply Rmult_le_compat_l; [exact Ped | exact Hfar].
      * apply (norm_sr n _ (ex j)); auto.
    + assert (0 <= norm n (turned j w)) by pos. assert (0 <= sr n) by pos. assert (0 <= norm n (dz j)) by pos. assert (0 <= norm n (dd j)) by pos.
      assert (0 <= norm n (g j)) by pos. assert (0 <= norm n (moved j)) by pos. assert (0 <= B * sh) by now apply Rmult_le_pos.
      assert (0 <= sr n * (B * sh)) by now apply Rmult_le_pos. assert (0 <= c * norm n (moved j)) by now apply Rmult_le_pos.
      apply U_add; apply U_add.
      * apply U_mul; auto. apply Rmult_le_pos; lra. apply U_mul; auto; try lra. apply U_add; auto. apply U_mul; auto. now apply U_mul.
      * apply U_mul; auto; try lra. apply U_add; auto.
      * apply U_mul; auto; try lra. apply U_add; auto. apply U_mul; auto.
      * apply U_mul; auto; pos.
Qed.

Lemma before_ok j f b : (S j < N)%nat -> facts_ok j f -> back_ok (S j) b -> back_ok j (before prec (lay (S j)) (lay j) f b).
Proof.
  intros HN O [B1 B2 B3 B4]. assert (Hj : (j < N)%nat) by lia. destruct (layers_ok j Hj). destruct (layers_ok (S j) HN) as [up_box _ up_unit _ _ _ _ _ _ _ _ _].
  destruct (nonneg j Hj) as (Ph & Pr & Pez & Per & Ped & Pex & Peg & Peu & P2 & P3). destruct (nonneg (S j) HN) as (Ph' & _). destruct O.
  set (n := dim (S j)) in *. assert (Hn : (0 < n)%nat) by (apply dim_pos; lia). set (n' := dim (S (S j))) in *.
  unfold before. set (gf := mul (box (lay (S j))) (s1 b)).
  assert (Hgf : forall k, (k < n)%nat -> U (Rabs (g j k)) gf).
  { intros k Hk. rewrite Eb by auto. eapply U_le. apply row1; [exact Ph' |]. intros l Hl. now apply boxed. apply U_mul; auto; pos. }
  set (dgf := add (mul (box (lay (S j))) (mn (ds1 b) (mul (unit (lay (S j))) (ds2 b)))) (leg (lay j))).
  assert (Hdgf : forall k, (k < n)%nat -> U (Rabs (dg j k)) dgf).
  { intros k Hk. unfold dg. rewrite Eb by auto. fold n'.
    replace (g' j k - sum n' (fun l => V (S j) l k * s (S j) l)) with
      (sum n' (fun l => V (S j) l k * ds (S j) l) + (g' j k - sum n' (fun l => V (S j) l k * s' (S j) l))).
    - eapply U_le. eapply Rle_trans. apply Rabs_triang. apply Rplus_le_compat. apply row1; [exact Ph' |]. intros l Hl. now apply boxed. now apply Nb.
      apply U_add; auto. apply U_mul; auto; try pos. apply U_mn; auto. eapply U_le. apply norm1_norm. apply U_mul; auto; pos.
    - rewrite (sum_ext _ (fun l => V (S j) l k * ds (S j) l) (fun l => V (S j) l k * s' (S j) l + -1 * (V (S j) l k * s (S j) l)))
        by (intros; unfold ds; ring). rewrite sum_plus, sum_scal. ring. }
  set (both := add gf dgf).
  assert (Hboth : forall k, (k < n)%nat -> U (Rabs (g' j k)) both).
  { intros k Hk. replace (g' j k) with (g j k + dg j k) by (unfold dg; ring). eapply U_le. apply Rabs_triang. apply U_add; auto. }
  assert (Hs : forall k, (k < n)%nat -> s j k = g j k * dz j k) by (intros k Hk; rewrite Es by auto; unfold dz; ring).
  assert (Hds : forall k, (k < n)%nat -> ds j k = (dg j k * dz j k + g' j k * dd j k) + (s' j k - d' j k * g' j k)).
  { intros k Hk. unfold ds, dd, dg. rewrite (Hs k Hk). ring. }
  constructor; cbn [s1 s2 ds1 ds2]; fold n.
  - rewrite (norm1_ext n (s j) _ Hs). apply U1t; auto.
  - rewrite (norm_ext n (s j) _ Hs). apply Ut; auto.
  - rewrite (norm1_ext n (ds j) _ Hds). eapply U_le. eapply Rle_trans. apply norm1_triangle. apply Rplus_le_compat. apply norm1_triangle.
    apply (norm1_const n (ex j)). intros k Hk. now apply Ns.
    apply U_add; [apply U_add; apply U1t; auto |]. apply U_mul; auto; pos.
  - rewrite (norm_ext n (ds j) _ Hds). eapply U_le. eapply Rle_trans. apply norm_triangle. apply Rplus_le_compat. apply norm_triangle.
    apply (norm_sr n _ (ex j)); auto.
    apply U_add; [apply U_add; apply Ut; auto |]. apply U_mul; auto; pos.
Qed.

(* the error of one block of the gradient, and what the update adds *)
Definition gap j : R := frob (dim (S j)) (dim j) (fun k i => s' j k * p' j i / 2 - s j k * p j i / 2) + eu j.

Lemma gap_pos j : (j < N)%nat -> 0 <= gap j.
Proof. intros Hj. unfold gap. assert (0 <= frob (dim (S j)) (dim j) (fun k i => s' j k * p' j i / 2 - s j k * p j i / 2)) by apply norm_nonneg. destruct (nonneg j Hj) as (_ & _ & _ & _ & _ & _ & _ & Peu & _). lra. Qed.

Lemma block_ok j f b : (j < N)%nat -> facts_ok j f -> back_ok j b -> U (gap j ^ 2) (block prec (lay j) f b).
Proof.
  intros Hj O [B1 B2 B3 B4]. destruct O. destruct (layers_ok j Hj). assert (Pg := gap_pos j Hj).
  unfold block. simpl. rewrite Rmult_1_r.
  assert (H : U (gap j) (add (halve prec (add (mul (ds2 b) (add (inp f) (ind2 f))) (mul (s2 b) (ind2 f)))) (leu (lay j)))).
  { unfold gap. set (n := dim (S j)) in *. set (m := dim j) in *.
    eapply U_le with ((norm n (ds j) * (norm m (p j) + norm m (dp j)) + norm n (s j) * norm m (dp j)) / 2 + eu j).
    - apply Rplus_le_compat_r.
      rewrite (frob_ext _ _ _ (fun k i => / 2 * (ds j k * p' j i + s j k * dp j i))) by (intros; unfold ds, dp; field).
      rewrite frob_scal, Rabs_pos_eq by lra.
      assert (frob n m (fun k i => ds j k * p' j i + s j k * dp j i) <= norm n (ds j) * (norm m (p j) + norm m (dp j)) + norm n (s j) * norm m (dp j)); [| lra].
      eapply Rle_trans. apply frob_triangle. rewrite !frob_outer. apply Rplus_le_compat_r. apply Rmult_le_compat_l. apply norm_nonneg.
      rewrite (norm_ext m (p' j) (fun i => p j i + dp j i)) by (intros; unfold dp; ring). apply norm_triangle.
    - assert (0 <= norm n (ds j)) by pos. assert (0 <= norm m (p j)) by pos. assert (0 <= norm m (dp j)) by pos. assert (0 <= norm n (s j)) by pos.
      assert (0 <= norm n (ds j) * (norm m (p j) + norm m (dp j))) by (apply Rmult_le_pos; lra). assert (0 <= norm n (s j) * norm m (dp j)) by now apply Rmult_le_pos.
      apply U_add; auto. apply U_halve. lra. apply U_add; apply U_mul; auto; try lra. now apply U_add. }
  now apply U_mul.
Qed.

Fixpoint tail (m j : nat) (f : nat -> R) : R := match m with O => 0 | S m => f j + tail m (S j) f end.

Lemma sum_tail m : forall j f, sum (j + m) f = sum j f + tail m j f.
Proof.
  induction m as [| m IH]; intros j f; simpl. rewrite Nat.add_0_r. lra.
  replace (j + S m)%nat with (S j + m)%nat by lia. rewrite IH. simpl. lra.
Qed.

Lemma run_ok m : forall j cells st, (j + S m = N)%nat -> length cells = S m -> inside (fun i => rms (j + i)) cells -> inv j st ->
  exists total b, run prec set (lay j) (map lay (seq (S j) m)) cells st = Some (total, b) /\
    U (tail (S m) j (fun i => gap i ^ 2)) total /\ back_ok j b.
Proof.
  induction m as [| m IH]; intros j [| c cells] st Hj Hc Hin Hst; try discriminate; cbn [run map seq].
  - destruct (Hin 0%nat c eq_refl) as [HL HU]. rewrite Nat.add_0_r in HL, HU.
    destruct (forward1_ok j c st ltac:(lia) Hst HL HU) as (f & st' & -> & O & Hst').
    assert (Bk := output_ok j f st' ltac:(lia) O Hst').
    eexists. eexists. split; [reflexivity |]. split; auto. cbn [tail]. rewrite Rplus_0_r. apply block_ok; auto; lia.
  - destruct (Hin 0%nat c eq_refl) as [HL HU]. rewrite Nat.add_0_r in HL, HU.
    destruct (forward1_ok j c st ltac:(lia) Hst HL HU) as (f & st' & -> & O & Hst').
    destruct (IH (S j) cells st') as (total & b & -> & HT & Bk); auto; try lia; try (simpl in Hc; lia).
    + intros i d Hi. replace (S j + i)%nat with (j + S i)%nat by lia. apply (Hin (S i) d Hi).
    + assert (Bk' := before_ok j f b ltac:(lia) O Bk).
      eexists. eexists. split; [reflexivity |]. split; auto.
      change (tail (S (S m)) j (fun i => gap i ^ 2)) with (gap j ^ 2 + tail (S m) (S j) (fun i => gap i ^ 2)). rewrite Rplus_comm.
      apply U_add; auto. apply block_ok; auto; lia.
Qed.

(* No cell that holds this token is empty, and the bound of any such cell is one on this token. *)
Lemma token_ok cells : (0 < N)%nat -> length cells = N -> inside rms cells ->
  forall claim2, fine prec set (lay 0%nat) (map lay (seq 1 (N - 1))) claim2 cells = true -> U (sum N (fun j => gap j ^ 2)) claim2.
Proof.
  intros HN Hc Hin claim2 H. unfold fine, bound2 in H.
  destruct (run_ok (N - 1) 0 cells (State (Bx set) zero zero)) as (total & b & E & HT & _); try lia.
  - exact Hin.
  - constructor; cbn [sp sd1 sd2].
    + eapply U_le; [| exact set_Bx]. eapply Rle_trans; [| exact Hx]. right. apply norm_ext. intros. now apply Ep0.
    + eapply U_le; [| apply U_zero]. rewrite (norm1_ext _ _ (fun _ => 0)). unfold norm1. rewrite (sum_ext _ _ (fun _ => 0)), sum_const by (intros; apply Rabs_R0). lra.
      intros i Hi. unfold dp. destruct (Ep0 i Hi) as [-> ->]. ring.
    + eapply U_le; [| apply U_zero]. rewrite (norm_ext _ _ (fun _ => 0)). rewrite norm_const, Rabs_R0. lra.
      intros i Hi. unfold dp. destruct (Ep0 i Hi) as [-> ->]. ring.
  - rewrite E in H. cbn [option_map fst] in H. eapply leb_U; [exact H |].
    generalize (sum_tail N 0 (fun j => gap j ^ 2)). simpl (0 + N)%nat. intros ->. simpl (sum 0 _). rewrite Rplus_0_l.
    replace N with (S (N - 1)) at 1 by lia. exact HT.
Qed.

End OneToken.
End Token.
