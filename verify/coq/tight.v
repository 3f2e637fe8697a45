(* The step error by cells, for every number of examples. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval.
From ICGD Require Import vectors calculus block up cells rows token.
Import ListNotations.
Open Scope R_scope.
Notation sum := vectors.sum.
Notation norm := vectors.norm.

Module Tight (F : FloatOps).
Module Import To := Token F.
Import To.Ro To.Ro.C To.Ro.C.B.

Section Step.
Variable prec : F.precision.
Variables (N : nat) (dim : nat -> nat) (V : nat -> nat -> nat -> R) (act dact d2act : nat -> R -> R) (phi : R -> R).
Variables (rho sigma : R) (half root : nat -> R) (By lip phi0 tilt top ea : R).
Variables ez er ed ex eg eu : nat -> R.
Variables P Z A DL DH D G Gn Sn C2 C3 : nat -> R.
Hypothesis c : ranges N dim act dact phi rho sigma half root By lip phi0 tilt top ea ez er ed ex eg P Z A DL DH D G Gn Sn.
Hypothesis boxed : forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> Rabs (V j k i) <= half j.
Hypothesis N_pos : (0 < N)%nat.
Hypothesis dim_pos : forall j, (j <= N)%nat -> (0 < dim j)%nat.
Hypothesis sizes : forall j, (j < N)%nat -> 0 <= eu j /\ 0 <= C2 j /\ 0 <= C3 j.
Hypothesis act_derive : forall j t, (j < N)%nat -> Rabs t <= Z j -> is_derive (act j) t (dact j t).
Hypothesis dact_derive : forall j t, (j < N)%nat -> Rabs t <= Z j -> is_derive (dact j) t (d2act j t).
Hypothesis dact_lip : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j -> Rabs (dact j a - dact j b) <= C2 j * Rabs (a - b).
Hypothesis d2act_lip : forall j a b, (j < N)%nat -> Rabs a <= Z j -> Rabs b <= Z j -> Rabs (d2act j a - d2act j b) <= C3 j * Rabs (a - b).
Hypothesis phi_lip : forall j a b y, S j = N -> Rabs a <= A j + ea -> Rabs b <= A j + ea -> Rabs y <= By ->
  Rabs (phi (a - rho * y) - phi (b - rho * y)) <= lip * Rabs (a - b).

Variables (set : setting) (lay : nat -> layer).
Hypothesis layers_ok : forall j, (j < N)%nat -> layer_ok dim act dact d2act half ez er ed ex eg eu Z C2 C3 lay j.
Hypothesis set_Bx : U (P 0%nat) (Bx set).
Hypothesis set_Bv : forall j, (j < N)%nat -> U (half j * root j) (Bv set).
Hypothesis set_By : U By (lBy set).
Hypothesis set_lip : U lip (llip set).
Hypothesis set_phi0 : U phi0 (lphi0 set).
Hypothesis set_tilt : U tilt (ltilt set).
Hypothesis set_local : forall j, S j = N -> U (lip * ea + eg j) (local set).
Hypothesis set_steep : forall q, steep set = Some q -> exists r, 0 <= r /\ U r q /\ forall j a b y, S j = N ->
  Rabs a <= Z j -> Rabs b <= Z j -> Rabs y <= By -> Rabs (phi (act j a - rho * y) - phi (act j b - rho * y)) <= r * Rabs (a - b).
Hypothesis set_G : forall j, S j = N -> U (G j) (limit set).
Hypothesis rho_ok : 0 <= rho.
Hypothesis set_y2 : U ((rho * By) ^ 2) (ly2 set).
Hypothesis d2act_ok : forall j t, (j < N)%nat -> Rabs t <= Z j -> Rabs (d2act j t) <= C2 j.
Hypothesis set_affine : forall q bow, affine set = Some (q, bow) -> exists q', 0 <= q' /\ U q' q /\ sigma = 0 /\ (forall t, phi t = q' * t) /\
  forall j, S j = N -> U ((C3 j * (A j + rho * By) + 3 * (C2 j * D j)) / 2) bow.

Lemma steep_ok j t : (j < N)%nat -> Rabs t <= Z j -> Rabs (dact j t) <= D j.
Proof.
  intros Hj Ht. destruct (positive _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j Hj) as (_ & _ & _ & Ped & _ & _).
  assert (K := dact_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j t Hj Ht). destruct (forward _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j Hj) as (_ & _ & ? & ?). apply Rabs_le. lra.
Qed.

(* the slope of r' (r - rho y) is Lipschitz *)
Lemma turn_lip j y a b : (j < N)%nat -> Rabs y <= By -> Rabs a <= Z j -> Rabs b <= Z j ->
  Rabs ((dact j a * dact j a + (act j a - rho * y) * d2act j a) - (dact j b * dact j b + (act j b - rho * y) * d2act j b)) <=
  (C3 j * (A j + rho * By) + 3 * (C2 j * D j)) * Rabs (a - b).
Proof.
  intros Hj Hy Ha Hb. destruct (sizes j Hj) as (_ & P2 & P3).
  assert (Da := steep_ok j a Hj Ha). assert (Db := steep_ok j b Hj Hb). assert (Bb := d2act_ok j b Hj Hb).
  assert (Aa := act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j a Hj Ha).
  assert (L1 : Rabs (act j a - act j b) <= D j * Rabs (a - b)) by (apply (lipschitz (act j) (dact j) (Z j)); auto using steep_ok).
  assert (L2 := dact_lip j a b Hj Ha Hb). assert (L3 := d2act_lip j a b Hj Ha Hb).
  assert (Ry : Rabs (act j a - rho * y) <= A j + rho * By).
  { unfold Rminus. eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq rho) by exact rho_ok.
    apply Rplus_le_compat; auto. now apply Rmult_le_compat_l. }
  replace (dact j a * dact j a + (act j a - rho * y) * d2act j a - (dact j b * dact j b + (act j b - rho * y) * d2act j b)) with
    ((act j a - rho * y) * (d2act j a - d2act j b) + ((act j a - act j b) * d2act j b + (dact j a - dact j b) * (dact j a + dact j b))) by ring.
  assert (0 <= D j) by (eapply Rle_trans; [apply Rabs_pos | exact Da]).
  eapply Rle_trans. apply Rabs_triang. eapply Rle_trans. apply Rplus_le_compat_l, Rabs_triang. rewrite !Rabs_mult.
  apply Rle_trans with ((A j + rho * By) * (C3 j * Rabs (a - b)) + (D j * Rabs (a - b) * C2 j + C2 j * Rabs (a - b) * (D j + D j))); [| right; ring].
  apply Rplus_le_compat; [apply Rmult_le_compat; auto using Rabs_pos |].
  apply Rplus_le_compat; apply Rmult_le_compat; auto using Rabs_pos. eapply Rle_trans; [apply Rabs_triang | lra].
Qed.

Theorem tight_step (n : nat) (X Y : nat -> nat -> R) (p z g s p' z' d' g' s' Gr : nat -> nat -> nat -> R)
    (claim2 : F.type) (c2 : R) (splits : list nat) (root_cell : list (F.type * F.type)) :
  (0 < n)%nat ->
  (forall t, (t < n)%nat ->
     norm (dim 0) (X t) <= P 0%nat /\ norm (dim N) (Y t) <= By /\
     exact_pass N dim V act dact phi rho sigma (X t) (Y t) (p t) (z t) (g t) (s t) /\
     near N dim V act dact phi rho sigma ea ez er ed ex eg Z DL DH G (X t) (Y t) (p' t) (z' t) (d' t) (g' t) (s' t)) ->
  (forall j, (j < N)%nat -> frob (dim (S j)) (dim j)
     (fun k i => Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)) <= eu j) ->
  walk prec set (lay 0%nat) (map lay (seq 1 (N - 1))) claim2 splits [root_cell] = true ->
  length root_cell = N ->
  (forall j cell, nth_error root_cell j = Some cell -> forall t, Rabs t <= Z j -> Lo (Rabs (act j t)) (fst cell) /\ U (Rabs (act j t)) (snd cell)) ->
  F.toX claim2 = Xreal c2 ->
  stack N dim (fun j k i => Gr j k i - / INR n * sum n (fun t => s t j k * p t j i / 2)) <= sqrt c2.
Proof.
  intros Hn Hpass Hgr Hwalk Hlen Hroot Hc2.
  assert (Token : forall t, (t < n)%nat ->
    stack N dim (fun j k i => (s' t j k * p' t j i / 2 - s t j k * p t j i / 2) +
      (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2))) <= sqrt c2).
  { intros t Ht. destruct (Hpass t Ht) as (Hx & Hy & He & Hb).
    assert (Hb' : near N dim V act dact phi rho sigma ea ez er ed ex eg Z DL DH G (X t) (Y t) (p t) (z t) (fun j k => dact j (z t j k)) (g t) (s t))
      by (eapply exact_near; eassumption).
    assert (Z1 : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z t j k) <= Z j) by (intros; eapply z_in; eassumption).
    assert (Z2 : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (z' t j k) <= Z j) by (intros; eapply z_in; eassumption).
    assert (D2 : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> DL j <= d' t j k <= DH j) by (intros; eapply d_in; eassumption).
    assert (G1 : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (g t j k) <= G j) by
      (intros j k Hj Hk; eapply gs_range in Hb'; [| eassumption .. | exact Hj]; now apply Hb').
    assert (G2 : forall j k, (j < N)%nat -> (k < dim (S j))%nat -> Rabs (g' t j k) <= G j) by
      (intros j k Hj Hk; eapply gs_range in Hb; [| eassumption .. | exact Hj]; now apply Hb).
    destruct He as (E0 & E1 & E2 & E3). destruct Hb as (B0 & B1 & B2 & B3).
    destruct (slope_size _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c) as (Pl & P0' & Pt & Pa).
    assert (PB := radius _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c).
    assert (Pe : 0 <= eg (N - 1)%nat) by (apply (positive _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c); lia).
    assert (Hyk : forall k, (k < dim N)%nat -> Rabs (Y t k) <= By) by (intros k Hk; eapply Rle_trans; [apply norm_coordinate; exact Hk | exact Hy]).
    assert (Out : forall j k, S j = N -> (k < dim N)%nat -> forall q, Rabs q <= Z j -> Rabs (act j q) <= A j + ea).
    { intros j k Hj Hk q Hq. assert (K := act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j q ltac:(lia) Hq). lra. }
    assert (Moves : forall j k, S j = N -> (k < dim N)%nat -> exists v,
      Rabs v <= lip * ea + eg (N - 1)%nat /\
      g' t j k - g t j k = (phi (act j (z' t j k) - rho * Y t k) - phi (act j (z t j k) - rho * Y t k)) + v).
    { intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj.
      destruct (B2 j k Hj Hk (Z2 j k Hj' Hk')) as (a & Ha & Hg).
      exists (g' t j k - (phi (act j (z' t j k) - rho * Y t k) - sigma * Y t k)). split.
      - replace (g' t j k - (phi (act j (z' t j k) - rho * Y t k) - sigma * Y t k)) with
          ((phi (a - rho * Y t k) - phi (act j (z' t j k) - rho * Y t k)) + (g' t j k - (phi (a - rho * Y t k) - sigma * Y t k))) by ring.
        apply Rabs_sum2.
        + eapply Rle_trans; [apply (phi_lip j); auto |].
          * replace a with (act j (z' t j k) + (a - act j (z' t j k))) by ring. apply Rabs_sum2; auto.
            now apply (act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c); auto.
          * apply (Out j k); auto.
          * now apply Rmult_le_compat_l.
        + replace (N - 1)%nat with j by lia. exact Hg.
      - rewrite E2 by auto. destruct (E1 j k Hj' Hk') as (_ & Ep & _). rewrite Hj in Ep. rewrite Ep. ring. }
    assert (Hin : inside (rms dim act (z t)) root_cell).
    { intros j cell Hj. assert (HjN : (j < N)%nat) by (rewrite <- Hlen; apply nth_error_Some; congruence).
      assert (Hd : (0 < dim (S j))%nat) by (apply dim_pos; lia).
      split; [apply Lo_rms | apply U_rms]; auto; intros k Hk; apply (Hroot j cell Hj); apply Z1; auto. }
    destruct (walk_ok prec set (lay 0%nat) (map lay (seq 1 (N - 1))) claim2 splits [root_cell] Hwalk root_cell _ (or_introl eq_refl) Hin)
      as (leaf & Hleaf & Hl & Hfine).
    assert (HU : U (sum N (fun j => gap dim eu (p t) (s t) (p' t) (s' t) j ^ 2)) claim2).
    { eapply (token_ok prec N dim V act dact d2act half root By lip phi0 tilt (lip * ea + eg (N - 1)%nat) rho ez er ed ex eg eu Z C2 C3 G (P 0%nat)) with
        (x := X t) (y := Y t) (z := z t) (g := g t) (z' := z' t) (d' := d' t) (g' := g' t) (set := set) (lay := lay) (cells := leaf); auto; try lia; try congruence.
      - intros j Hj. destruct (positive _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j Hj) as (? & ? & ? & ? & ? & ?).
        destruct (root_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j) as [? _]; [lia |].
        destruct (sizes j Hj) as (? & ? & ?). repeat (split; [assumption |]). assumption.
      - assert (0 <= lip * ea) by now apply Rmult_le_pos. repeat (split; [assumption |]). lra.
      - intros; eapply block.row; eassumption.
      - intros j a b Hj Ha Hb. apply (remainder (act j) (dact j) (Z j) (C2 j)); auto.
      - intros j a b Hj Ha Hb. apply (remainder (dact j) (d2act j) (Z j) (C3 j)); auto.
      - intros; now apply E1.
      - intros; now apply E1.
      - intros; now apply E1.
      - intros; now apply B1.
      - intros; apply B1; auto.
      - intros; apply B1; auto.
      - intros; apply B1; auto.
      - intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj.
        destruct (E1 j k Hj' Hk') as (_ & Ep & _). rewrite Hj in Ep. rewrite E2 by auto.
        apply (slope_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c j); auto. rewrite Ep. apply (Out j k); auto.
      - intros j k Hj Hk. destruct (Moves j k Hj Hk) as (v & Hv & ->). apply Rabs_sum2; auto.
        assert (Hj' : (j < N)%nat) by lia. assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj. apply (phi_lip j); auto; apply (Out j k); auto.
      - apply (set_local (N - 1)%nat). lia.
      - intros q Hq. destruct (set_steep q Hq) as (r & Pr & Ur & Hr). exists r. split; [exact Pr | split; [exact Ur |]].
        intros j k Hj Hk. destruct (Moves j k Hj Hk) as (v & Hv & ->). apply Rabs_sum2; auto.
        assert (Hj' : (j < N)%nat) by lia. assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj. apply (Hr j); auto.
      - intros q bow Hq. destruct (set_affine q bow Hq) as (q' & Pq & Uq & Es0 & Ephi & HB). assert (HjN : S (N - 1) = N) by lia.
        exists q', ((C3 (N - 1)%nat * (A (N - 1)%nat + rho * By) + 3 * (C2 (N - 1)%nat * D (N - 1)%nat)) / 2).
        split; [exact Pq |]. split; [| split; [exact Uq | split; [now apply HB |]]].
        + destruct (sizes (N - 1)%nat ltac:(lia)) as (_ & P2 & P3).
          assert (Hk0 : (0 < dim (S (N - 1)))%nat) by (apply dim_pos; lia). assert (Z0 := Z1 (N - 1)%nat 0%nat ltac:(lia) Hk0).
          assert (0 <= A (N - 1)%nat) by (eapply Rle_trans; [apply Rabs_pos | exact (act_ok _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ c (N - 1)%nat _ ltac:(lia) Z0)]).
          assert (0 <= D (N - 1)%nat) by (eapply Rle_trans; [apply Rabs_pos | exact (steep_ok (N - 1) _ ltac:(lia) Z0)]).
          assert (0 <= rho * By) by (apply Rmult_le_pos; [exact rho_ok | exact PB]).
          assert (0 <= C3 (N - 1)%nat * (A (N - 1)%nat + rho * By)) by (apply Rmult_le_pos; lra).
          assert (0 <= C2 (N - 1)%nat * D (N - 1)%nat) by now apply Rmult_le_pos. lra.
        + intros j k Hj Hk. assert (Hj' : (j < N)%nat) by lia. assert (Hk' : (k < dim (S j))%nat) by now rewrite Hj.
          replace (N - 1)%nat with j by lia. split; [| split].
          * rewrite E2 by auto. destruct (E1 j k Hj' Hk') as (_ & Ep & _). rewrite Hj in Ep. rewrite Ep, Es0, Ephi. ring.
          * destruct (Moves j k Hj Hk) as (v & Hv & Eg). replace (N - 1)%nat with j in Hv by lia.
            replace (g' t j k - q' * (act j (z' t j k) - rho * Y t k)) with v; [exact Hv |].
            rewrite !Ephi in Eg. rewrite E2 in Eg by auto. destruct (E1 j k Hj' Hk') as (_ & Ep & _). rewrite Hj in Ep. rewrite Ep, Es0, Ephi in Eg. lra.
          * apply (remainder (fun t0 => dact j t0 * (act j t0 - rho * Y t k)) (fun t0 => dact j t0 * dact j t0 + (act j t0 - rho * Y t k) * d2act j t0) (Z j)); auto.
            -- intros t0 Ht0. assert (DA := act_derive j t0 Hj' Ht0). assert (DB := dact_derive j t0 Hj' Ht0).
               evar_last. apply (is_derive_mult (dact j) (fun u => act j u - rho * Y t k)); [exact DB | | intros; apply Rmult_comm].
               apply (is_derive_minus (act j) (fun _ => rho * Y t k)); [exact DA | apply is_derive_const].
               unfold minus, plus, opp, zero, mult; simpl. change (@Hierarchy.zero _) with 0. ring.
            -- intros a b Ha Hb. apply turn_lip; auto. }
    assert (HR := U_real _ _ _ Hc2 HU).
    apply Rle_trans with (norm N (gap dim eu (p t) (s t) (p' t) (s' t))).
    - apply norm_le. intros j Hj. rewrite Rabs_pos_eq by apply norm_nonneg. unfold gap.
      eapply Rle_trans. apply frob_triangle. apply Rplus_le_compat_l. now apply Hgr.
    - unfold norm. apply sqrt_le_1_alt. exact HR. }
  rewrite (stack_ext N dim _ (fun j k i => / INR n * sum n (fun t => (s' t j k * p' t j i / 2 - s t j k * p t j i / 2) +
      (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2))))).
  - apply stack_mean with (M := fun t j k i => (s' t j k * p' t j i / 2 - s t j k * p t j i / 2) +
      (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2))); auto.
  - intros j k i Hj Hk Hi. assert (Pn : INR n <> 0) by (apply not_0_INR; lia).
    rewrite (sum_ext n (fun t => (s' t j k * p' t j i / 2 - s t j k * p t j i / 2) + (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)))
      (fun t => (s' t j k * p' t j i / 2 + -1 * (s t j k * p t j i / 2)) + (Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2))))
      by (intros; ring).
    rewrite !sum_plus, sum_scal, sum_const. field. auto.
Qed.
End Step.
End Tight.
