(* The update of a weight in binary64: two means over tokens of products of computed numbers, added to the weight. *)
From Coq Require Import Reals List Lra Lia Psatz Permutation ZArith Bool.
From Flocq Require Import Core BinarySingleNaN.
From ICGD Require Import machine rounding.
Import ListNotations.
Open Scope R_scope.

Definition average (T : nat) (f : nat -> R) : R := total (map f (seq 0 T)) / INR T.

Lemma average_le T f g : (0 < T)%nat -> (forall i, (i < T)%nat -> f i <= g i) -> average T f <= average T g.
Proof.
  intros HT H. unfold average, Rdiv. apply Rmult_le_compat_r. apply Rlt_le, Rinv_0_lt_compat, lt_0_INR; exact HT.
  assert (K : forall l, (forall i, In i l -> f i <= g i) -> total (map f l) <= total (map g l)).
  { induction l as [| i l IH]; intros Hl; cbn [map total]; [lra |]. assert (A := Hl i (or_introl eq_refl)). assert (B := IH ltac:(intros; apply Hl; now right)). lra. }
  apply K. intros i Hi. apply in_seq in Hi. apply H. lia.
Qed.

Lemma average_linear T a b f g : (0 < T)%nat -> average T (fun i => a * f i + b * g i) = a * average T f + b * average T g.
Proof.
  intros HT. unfold average. assert (E : forall l, total (map (fun i => a * f i + b * g i) l) = a * total (map f l) + b * total (map g l)).
  { induction l; cbn [map total]; [ring |]. rewrite IHl. ring. }
  rewrite E. field. apply not_0_INR. lia.
Qed.

Lemma average_const T c : (0 < T)%nat -> average T (fun _ => c) = c.
Proof.
  intros HT. unfold average. assert (E : forall l : list nat, total (map (fun _ => c) l) = INR (length l) * c).
  { induction l; cbn [map total length]; [simpl; ring |]. rewrite IHl, S_INR. ring. }
  rewrite E, seq_length. field. apply not_0_INR. lia.
Qed.

Lemma average_abs T f : (0 < T)%nat -> Rabs (average T f) <= average T (fun i => Rabs (f i)).
Proof.
  intros HT. unfold average, Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ INR T)). 2: apply Rlt_le, Rinv_0_lt_compat, lt_0_INR; exact HT.
  apply Rmult_le_compat_r. apply Rlt_le, Rinv_0_lt_compat, lt_0_INR; exact HT.
  generalize (seq 0 T). induction l; cbn [map total]; [rewrite Rabs_R0; lra |]. eapply Rle_trans. apply Rabs_triang. lra.
Qed.

(* A mean over tokens of numbers f, near F within b - a, in size at most b. *)
Theorem mean_ok (given : Prop) T (f F a b : nat -> R) t (count : float) : (0 < T)%nat -> given ->
  rounding.sums given t (map f (seq 0 T)) -> value_of count = INR T ->
  (forall i, (i < T)%nat -> Rabs (f i - F i) <= b i - a i /\ Rabs (f i) <= b i) ->
  INR T * ((1 + u) ^ (T + 1) * (average T b + 3 * w)) < huge ->
  let h := Bdiv mode_NE (eval t) count in
  is_finite h = true /\ Rabs (value_of h - average T F) <= (1 + u) ^ (T + 1) * (average T b + 3 * w) - average T a /\
  Rabs (value_of h) <= (1 + u) ^ (T + 1) * (average T b + 3 * w).
Proof.
  intros HT Hg Ht Hc Hf Hbig h. assert (U := u_pos). assert (W := w_pos). assert (IT := lt_0_INR T HT). assert (I1 := le_INR 1 T ltac:(lia)). simpl (INR 1) in I1.
  set (ab := average T b) in *. assert (Bpos : forall i, (i < T)%nat -> 0 <= b i) by (intros i Hi; eapply Rle_trans; [apply Rabs_pos | apply (Hf i Hi)]).
  assert (AB : 0 <= ab). { unfold ab. rewrite <- (average_const T 0 HT). now apply average_le. }
  assert (Ll : length (map f (seq 0 T)) = T) by now rewrite map_length, seq_length.
  assert (Sz : sizes (map f (seq 0 T)) <= INR T * ab).
  { unfold ab, average. replace (INR T * (total (map b (seq 0 T)) / INR T)) with (total (map b (seq 0 T))) by (field; lra).
    assert (K : forall l, (forall i, In i l -> Rabs (f i) <= b i) -> sizes (map f l) <= total (map b l)).
    { induction l as [| i l IH]; intros Hl; cbn [map sizes total]; [lra |]. assert (A := Hl i (or_introl eq_refl)). assert (B := IH ltac:(intros; apply Hl; now right)). lra. }
    apply K. intros i Hi. apply in_seq in Hi. apply Hf. lia. }
  assert (G1 := grow T (T + 1) ltac:(lia)). assert (P1 : (1 + u) ^ (T + 1) = (1 + u) * (1 + u) ^ T) by (rewrite pow_add; simpl; ring).
  set (q := (1 + u) ^ T) in *. set (top := (1 + u) ^ (T + 1) * (ab + 3 * w)) in *.
  assert (Top : (1 + u) * (q * (ab + 2 * w)) + w <= top). { unfold top. rewrite P1. assert (1 <= (1 + u) * q) by nra. nra. }
  assert (Tq : 0 <= q * (ab + 2 * w)) by (apply Rmult_le_pos; lra).
  destruct (sums_ok given t _ (INR T * ab) (2 * INR T) Hg Ht Sz ltac:(rewrite Ll; lra)) as [Fm Em].
  { rewrite Ll. fold q. replace (q * (INR T * ab + 2 * INR T * w)) with (INR T * (q * (ab + 2 * w))) by ring.
    eapply Rle_lt_trans; [| exact Hbig]. apply Rmult_le_compat_l; [lra |]. assert (0 <= u * (q * (ab + 2 * w))) by (apply Rmult_le_pos; lra). lra. }
  rewrite Ll in Em. unfold off in Em. fold q in Em. set (M := value_of (eval t)) in *.
  assert (Ef : Rabs (total (map f (seq 0 T)) / INR T - average T F) <= ab - average T a).
  { fold (average T f). replace (average T f - average T F) with (average T (fun i => 1 * f i + (-1) * F i)) by (rewrite average_linear by exact HT; ring).
    eapply Rle_trans; [now apply average_abs |]. unfold ab. replace (average T b - average T a) with (average T (fun i => 1 * b i + (-1) * a i)) by (rewrite average_linear by exact HT; ring).
    apply average_le; auto. intros i Hi. replace (1 * f i + -1 * F i) with (f i - F i) by ring. destruct (Hf i Hi). lra. }
  assert (Et : Rabs (total (map f (seq 0 T)) / INR T) <= ab).
  { fold (average T f). eapply Rle_trans; [now apply average_abs |]. apply average_le; auto. intros i Hi. now apply Hf. }
  assert (Eq : Rabs (M / INR T - total (map f (seq 0 T)) / INR T) <= q * (ab + 2 * w) - ab).
  { replace (M / INR T - total (map f (seq 0 T)) / INR T) with ((M - total (map f (seq 0 T))) * / INR T) by (unfold Rdiv; ring).
    rewrite Rabs_mult, (Rabs_pos_eq (/ INR T)) by (apply Rlt_le, Rinv_0_lt_compat; exact IT). apply Rmult_le_reg_r with (INR T); auto.
    rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. lra. }
  assert (Rq : Rabs (M / INR T) <= q * (ab + 2 * w)).
  { replace (M / INR T) with ((M / INR T - total (map f (seq 0 T)) / INR T) + total (map f (seq 0 T)) / INR T) by ring.
    eapply Rle_trans. apply Rabs_triang. lra. }
  assert (E2 : Rabs (M / INR T - average T F) <= q * (ab + 2 * w) - average T a).
  { replace (M / INR T - average T F) with ((M / INR T - total (map f (seq 0 T)) / INR T) + (total (map f (seq 0 T)) / INR T - average T F)) by ring.
    eapply Rle_trans. apply Rabs_triang. lra. }
  destruct (rounding_step (M / INR T) (average T F) _ _ E2 Rq) as [Ed Sd].
  { eapply Rle_trans; [apply Rabs_pos | exact E2]. }
  assert (HS : Rabs (round64 (M / INR T)) < huge).
  { eapply Rle_lt_trans; [exact Sd |]. eapply Rle_lt_trans; [exact Top |]. eapply Rle_lt_trans; [| exact Hbig].
    assert (0 <= (1 + u) * (q * (ab + 2 * w))) by (apply Rmult_le_pos; lra). rewrite <- (Rmult_1_l top) at 1. apply Rmult_le_compat_r; lra. }
  generalize (Bdiv_correct 53 1024 _ _ mode_NE (eval t) count). unfold value_of in Hc. rewrite Hc. intros Hdiv. specialize (Hdiv ltac:(lra)).
  change (B2R (eval t)) with M in Hdiv.
  change (round radix2 (SpecFloat.fexp 53 1024) (round_mode mode_NE) (M / INR T)) with (round64 (M / INR T)) in Hdiv.
  rewrite (below_huge _ HS) in Hdiv. destruct Hdiv as (V & Fin & _). rewrite Fm in Fin. unfold h, value_of. rewrite V.
  split; [exact Fin |]. split; lra.
Qed.

(** One weight. *)

(* Attention of the query `one` to a token: s + 2 offset mask - offset, and its relu. *)
Definition masked (s m offset : R) (score : tree) (weight : float) : Prop :=
  rounding.sums True score [s; 2 * offset * m; - offset] /\ relu_of (eval score) weight.

(* y: the weight V plus the mean over T tokens of mask s scale p, as the heads compute it; mask is 1 in examples and 0 in the query. *)
Definition updated (T : nat) (s p mask : nat -> R) (offset scale V : R) (y : float) : Prop :=
  exists (score first second : nat -> tree) (weight : nat -> float) (by_s by_mask all : tree) (count : float) (scale' removed : R),
  entry scale scale' /\ entry (- scale * offset) removed /\ value_of count = INR T /\
  (forall i, (i < T)%nat -> masked (s i) (mask i) offset (score i) (weight i) /\
     rounding.sums True (first i) [scale' * p i] /\ rounding.sums True (second i) [removed * p i]) /\
  rounding.sums (forall i, (i < T)%nat -> is_finite (weight i) = true /\ is_finite (eval (first i)) = true) by_s
    (map (fun i => value_of (weight i) * value_of (eval (first i))) (seq 0 T)) /\
  rounding.sums (forall i, (i < T)%nat -> is_finite (eval (second i)) = true) by_mask
    (map (fun i => mask i * value_of (eval (second i))) (seq 0 T)) /\
  let one := Bdiv mode_NE (eval by_s) count in let other := Bdiv mode_NE (eval by_mask) count in
  rounding.sums (is_finite one = true /\ is_finite other = true) all [V; value_of one; value_of other] /\ y = eval all.

(* A rounded product with an entry of a matrix. *)
Lemma scaled_ok c c' x t : entry c c' -> rounding.sums True t [c' * x] -> (1 + u) ^ 5 * (Rabs (c * x) + 2 * w) < huge ->
  is_finite (eval t) = true /\ Rabs (value_of (eval t) - c * x) <= (1 + u) ^ 5 * (Rabs (c * x) + 2 * w) - Rabs (c * x) /\
  Rabs (value_of (eval t)) <= (1 + u) ^ 5 * (Rabs (c * x) + 2 * w).
Proof.
  intros He Ht Hbig. assert (U := u_pos). assert (W := w_pos). assert (Ez := entry_size _ _ He). unfold entry in He.
  set (a := Rabs (c * x)) in *. assert (X := Rabs_pos x). assert (A0 : 0 <= a) by apply Rabs_pos.
  assert (Ea : a = Rabs c * Rabs x) by apply Rabs_mult.
  assert (Sz : Rabs (c' * x) <= (1 + 4 * u) * a). { rewrite Rabs_mult, Ea, <- Rmult_assoc. now apply Rmult_le_compat_r. }
  destruct (four 1) as [_ F5]. change (1 + 4)%nat with 5%nat in F5. rewrite pow_1 in F5.
  assert (Grow : (1 + u) * ((1 + 4 * u) * a + 2 * w) <= (1 + u) ^ 5 * (a + 2 * w)).
  { apply Rle_trans with ((1 + u) * (1 + 4 * u) * (a + 2 * w)). 2: apply Rmult_le_compat_r; lra.
    rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra |]. assert (0 <= u * w) by nra. lra. }
  destruct (sums_ok True t [c' * x] ((1 + 4 * u) * a) 2 I Ht) as [F E].
  - cbn [sizes]. lra.
  - simpl (INR _). simpl. lra.
  - cbn [length]. rewrite pow_1. eapply Rle_lt_trans; [exact Grow | exact Hbig].
  - cbn [length total] in E. unfold off in E. rewrite pow_1, Rplus_0_r in E. split; [exact F |].
    assert (D : Rabs (c' * x - c * x) <= 4 * u * a).
    { replace (c' * x - c * x) with ((c' - c) * x) by ring. rewrite Rabs_mult, Ea, <- Rmult_assoc. now apply Rmult_le_compat_r. }
    assert (N : Rabs (value_of (eval t) - c * x) <= (1 + u) ^ 5 * (a + 2 * w) - a).
    { replace (value_of (eval t) - c * x) with ((value_of (eval t) - c' * x) + (c' * x - c * x)) by ring. eapply Rle_trans. apply Rabs_triang. lra. }
    split; [exact N |]. replace (value_of (eval t)) with ((value_of (eval t) - c * x) + c * x) by ring. eapply Rle_trans. apply Rabs_triang. fold a. lra.
Qed.

Theorem update_ok T s p mask offset scale V y Pm : (0 < T)%nat -> updated T s p mask offset scale V y ->
  0 <= offset -> (forall i, (i < T)%nat -> Rabs (s i) <= offset /\ (mask i = 0 \/ mask i = 1) /\ Rabs (p i) <= Pm) ->
  let a := Rabs scale * average T (fun i => Rabs (p i)) in
  let B := (4 * offset + 6 * w) * (Rabs scale * Pm + 2 * w) + offset * Rabs scale * Pm + 8 * w in
  INR T * ((1 + u) ^ (T + 12) * (B + Rabs V + 6 * w)) < huge -> (1 + u) ^ 5 * ((1 + offset) * (Rabs scale * Pm) + 4 * offset + 6 * w) < huge ->
  is_finite y = true /\
  Rabs (value_of y - (V + average T (fun i => mask i * s i * scale * p i))) <=
    ((1 + u) ^ 3 - 1) * Rabs V + (1 + u) ^ (T + 12) * ((4 * offset + 6 * w) * (a + 2 * w) + offset * a + 14 * w) - 5 * offset * a.
Proof.
  intros HT (score & first & second & weight & by_s & by_mask & all & count & scale' & removed & Es & Er & Hc & Ht & H1 & H2 & Hall & Hy) O0 Hin a B Big Small.
  assert (U := u_pos). assert (W := w_pos). assert (I1 := le_INR 1 T ltac:(lia)). simpl (INR 1) in I1.
  set (S := Rabs scale) in *. assert (S0 : 0 <= S) by apply Rabs_pos.
  assert (P0 : 0 <= Pm). { destruct (Hin 0%nat HT) as (_ & _ & H). eapply Rle_trans; [apply Rabs_pos | exact H]. }
  assert (SP : 0 <= S * Pm) by now apply Rmult_le_pos.
  assert (OSP : 0 <= offset * (S * Pm)) by now apply Rmult_le_pos.
  set (q3 := (1 + u) ^ 3) in *. set (q5 := (1 + u) ^ 5) in *.
  assert (Q3 : 1 <= q3 <= q5) by (apply grow; lia). 
  set (Bw := q3 * (4 * offset + 6 * w)).
  assert (BwS : Bw < huge).
  { eapply Rle_lt_trans; [| exact Small]. unfold Bw. apply Rmult_le_compat; lra. }
  assert (Bw4 : 4 * offset <= Bw). { unfold Bw. rewrite <- (Rmult_1_l (4 * offset)). apply Rmult_le_compat; lra. }
  set (ai := fun i => S * Rabs (p i)). set (Bv := fun i => q5 * (ai i + 2 * w)). set (b2 := fun i => q5 * (offset * ai i + 2 * w)).
  assert (Ai : forall i, (i < T)%nat -> 0 <= ai i <= S * Pm).
  { intros i Hi. destruct (Hin i Hi) as (_ & _ & Hp). unfold ai. split. apply Rmult_le_pos; auto using Rabs_pos. now apply Rmult_le_compat_l. }
  assert (Tok : forall i, (i < T)%nat -> is_finite (weight i) = true /\ is_finite (eval (first i)) = true /\ is_finite (eval (second i)) = true /\
    Rabs (value_of (weight i) * value_of (eval (first i)) - mask i * (s i + offset) * (scale * p i)) <= Bw * Bv i - 4 * offset * ai i /\
    Rabs (value_of (weight i) * value_of (eval (first i))) <= Bw * Bv i /\
    Rabs (mask i * value_of (eval (second i)) - mask i * (- scale * offset * p i)) <= b2 i - offset * ai i /\
    Rabs (mask i * value_of (eval (second i))) <= b2 i).
  { intros i Hi. destruct (Ht i Hi) as ((Hsc & Hre) & Hf1 & Hf2). destruct (Hin i Hi) as (Hs & Hm & Hp). destruct (Ai i Hi) as [A0 A1].
    assert (M1 : Rabs (mask i) <= 1) by (destruct Hm as [-> | ->]; [rewrite Rabs_R0 | rewrite Rabs_R1]; lra).
    destruct (sums_ok True (score i) _ (4 * offset) 6 I Hsc) as [Fs Esc].
    { cbn [sizes]. rewrite Rabs_mult, Rabs_Ropp, (Rabs_pos_eq (2 * offset)), (Rabs_pos_eq offset) by lra.
      assert (2 * offset * Rabs (mask i) <= 2 * offset * 1) by (apply Rmult_le_compat_l; lra). lra. }
    { simpl. lra. }
    { cbn [length]. fold q3 Bw. exact BwS. }
    cbn [length total] in Esc. unfold off in Esc. fold q3 Bw in Esc. destruct (Hre Fs) as [Fw Vw].
    assert (Wi : Rmax 0 (s i + (2 * offset * mask i + (- offset + 0))) = mask i * (s i + offset) /\ 0 <= mask i * (s i + offset) <= 4 * offset).
    { assert (Hs' : - offset <= s i <= offset) by (unfold Rabs in Hs; destruct (Rcase_abs (s i)); lra). destruct Hm as [Em | Em]; rewrite Em.
      - rewrite Rmax_left by lra. split; [ring | lra].
      - rewrite Rmax_right by lra. split; [ring | lra]. }
    destruct Wi as [Wi Wr].
    assert (Ew : Rabs (value_of (weight i) - mask i * (s i + offset)) <= Bw - 4 * offset).
    { rewrite Vw, <- Wi. apply relu_near; [lra | exact Esc]. }
    assert (Sw : Rabs (value_of (weight i)) <= Bw).
    { replace (value_of (weight i)) with ((value_of (weight i) - mask i * (s i + offset)) + mask i * (s i + offset)) by ring.
      eapply Rle_trans. apply Rabs_triang. rewrite (Rabs_pos_eq (mask i * (s i + offset))) by lra. lra. }
    assert (Eai : Rabs (scale * p i) = ai i) by (unfold ai; apply Rabs_mult).
    destruct (scaled_ok scale scale' (p i) (first i) Es Hf1) as (F1 & E1 & Z1).
    { rewrite Eai. eapply Rle_lt_trans; [| exact Small]. fold q5. apply Rmult_le_compat_l; lra. }
    rewrite Eai in E1, Z1. fold q5 in E1, Z1. fold (Bv i) in E1, Z1.
    assert (Eoi : Rabs (- scale * offset * p i) = offset * ai i).
    { rewrite !Rabs_mult, Rabs_Ropp, (Rabs_pos_eq offset) by exact O0. unfold ai, S. ring. }
    assert (OA : offset * ai i <= offset * (S * Pm)) by now apply Rmult_le_compat_l.
    destruct (scaled_ok (- scale * offset) removed (p i) (second i) Er Hf2) as (F2 & E2 & Z2).
    { rewrite Eoi. eapply Rle_lt_trans; [| exact Small]. fold q5. apply Rmult_le_compat_l; lra. }
    rewrite Eoi in E2, Z2. fold q5 in E2, Z2. fold (b2 i) in E2, Z2.
    split; [exact Fw |]. split; [exact F1 |]. split; [exact F2 |].
    assert (Bv0 : 0 <= Bv i) by (eapply Rle_trans; [apply Rabs_pos | exact Z1]).
    split; [| split; [| split]].
    - set (v := value_of (eval (first i))) in *. set (wt := value_of (weight i)) in *. set (Wx := mask i * (s i + offset)) in *.
      replace (wt * v - Wx * (scale * p i)) with ((wt - Wx) * v + Wx * (v - scale * p i)) by ring.
      eapply Rle_trans. apply Rabs_triang. rewrite !Rabs_mult, (Rabs_pos_eq Wx) by lra.
      assert (Rabs (wt - Wx) * Rabs v <= (Bw - 4 * offset) * Bv i) by (apply Rmult_le_compat; auto using Rabs_pos).
      assert (Wx * Rabs (v - scale * p i) <= 4 * offset * (Bv i - ai i)) by (apply Rmult_le_compat; auto using Rabs_pos; lra). lra.
    - rewrite Rabs_mult. apply Rmult_le_compat; auto using Rabs_pos.
    - rewrite <- Rmult_minus_distr_l, Rabs_mult. assert (E0 := Rabs_pos (value_of (eval (second i)) - - scale * offset * p i)).
      assert (Rabs (mask i) * Rabs (value_of (eval (second i)) - - scale * offset * p i) <= 1 * Rabs (value_of (eval (second i)) - - scale * offset * p i)) by now apply Rmult_le_compat_r. lra.
    - rewrite Rabs_mult. assert (E0 := Rabs_pos (value_of (eval (second i)))).
      assert (Rabs (mask i) * Rabs (value_of (eval (second i))) <= 1 * Rabs (value_of (eval (second i)))) by now apply Rmult_le_compat_r. lra. }
  (* The averages of the bounds. *)
  assert (Same : forall f g, (forall i, f i = g i) -> average T f = average T g) by (intros f g H; unfold average; do 2 f_equal; now apply map_ext).
  assert (Av : average T ai = a).
  { rewrite (Same ai (fun i => S * Rabs (p i) + 0 * 0)) by (intros; unfold ai; ring). rewrite (average_linear T S 0 (fun i => Rabs (p i)) (fun _ => 0)) by exact HT. unfold a. ring. }
  assert (A0 : 0 <= a <= S * Pm).
  { rewrite <- Av. split; [rewrite <- (average_const T 0 HT) | rewrite <- (average_const T (S * Pm) HT)]; apply average_le; auto; intros i Hi; now apply Ai. }
  assert (B1 : average T (fun i => Bw * Bv i) = Bw * q5 * (a + 2 * w)).
  { rewrite <- Av. rewrite (Same (fun i => Bw * Bv i) (fun i => Bw * q5 * ai i + (Bw * q5 * (2 * w)) * 1)) by (intros; unfold Bv; ring).
    rewrite (average_linear T _ _ ai (fun _ => 1)), average_const by exact HT. ring. }
  assert (B2 : average T b2 = q5 * (offset * a + 2 * w)).
  { rewrite <- Av. rewrite (Same b2 (fun i => q5 * offset * ai i + (q5 * (2 * w)) * 1)) by (intros; unfold b2; ring).
    rewrite (average_linear T _ _ ai (fun _ => 1)), average_const by exact HT. ring. }
  assert (C1 : average T (fun i => 4 * offset * ai i) = 4 * offset * a).
  { rewrite <- Av. rewrite (Same (fun i => 4 * offset * ai i) (fun i => 4 * offset * ai i + 0 * 1)) by (intros; ring).
    rewrite (average_linear T _ _ ai (fun _ => 1)) by exact HT. ring. }
  assert (C2 : average T (fun i => offset * ai i) = offset * a).
  { rewrite <- Av. rewrite (Same (fun i => offset * ai i) (fun i => offset * ai i + 0 * 1)) by (intros; ring).
    rewrite (average_linear T _ _ ai (fun _ => 1)) by exact HT. ring. }
  set (Q9 := (1 + u) ^ (T + 9)). set (X1 := (4 * offset + 6 * w) * (a + 2 * w) + 3 * w). set (X2 := offset * a + 5 * w).
  assert (GT1 := grow (T + 1) (T + 9) ltac:(lia)). assert (GT6 := grow (T + 1 + 5) (T + 9) ltac:(lia)). fold Q9 in GT1, GT6.
  assert (OA0 : 0 <= offset * a) by (apply Rmult_le_pos; lra).
  assert (Y0 : 0 <= (4 * offset + 6 * w) * (a + 2 * w)) by (apply Rmult_le_pos; lra).
  assert (T1 : (1 + u) ^ (T + 1) * (average T (fun i => Bw * Bv i) + 3 * w) <= Q9 * X1).
  { rewrite B1. unfold Bw, X1, Q9. replace (T + 9)%nat with ((T + 1) + (3 + 5))%nat by lia. rewrite (pow_add _ (T + 1)), (pow_add _ 3). fold q3 q5.
    set (Y := (4 * offset + 6 * w) * (a + 2 * w)) in *. set (q1 := (1 + u) ^ (T + 1)) in *.
    replace (q1 * (q3 * (4 * offset + 6 * w) * q5 * (a + 2 * w) + 3 * w)) with (q1 * (q3 * q5 * Y + 3 * w)) by (unfold Y; ring).
    replace (q1 * (q3 * q5) * (Y + 3 * w)) with (q1 * (q3 * q5 * Y + q3 * q5 * (3 * w))) by ring.
    apply Rmult_le_compat_l; [lra |]. apply Rplus_le_compat_l. rewrite <- (Rmult_1_l (3 * w)) at 1. apply Rmult_le_compat_r; [lra |].
    replace 1 with (1 * 1) by ring. apply Rmult_le_compat; lra. }
  assert (T2 : (1 + u) ^ (T + 1) * (average T b2 + 3 * w) <= Q9 * X2).
  { rewrite B2. unfold X2. apply Rle_trans with ((1 + u) ^ (T + 1 + 5) * (offset * a + 5 * w)).
    - rewrite (pow_add _ (T + 1)). fold q5. set (q1 := (1 + u) ^ (T + 1)) in *.
      replace (q1 * q5 * (offset * a + 5 * w)) with (q1 * (q5 * (offset * a + 2 * w) + q5 * (3 * w))) by ring. apply Rmult_le_compat_l; [lra |].
      assert (3 * w <= q5 * (3 * w)). { rewrite <- (Rmult_1_l (3 * w)) at 1. apply Rmult_le_compat_r; lra. } lra.
    - apply Rmult_le_compat_r; lra. }
  assert (Q12 : (1 + u) ^ (T + 12) = q3 * Q9). { unfold q3, Q9. rewrite <- pow_add. f_equal. lia. }
  assert (XB : X1 + X2 <= B).
  { unfold X1, X2, B. assert ((4 * offset + 6 * w) * (a + 2 * w) <= (4 * offset + 6 * w) * (S * Pm + 2 * w)) by (apply Rmult_le_compat_l; lra).
    assert (offset * a <= offset * (S * Pm)) by (apply Rmult_le_compat_l; lra). lra. }
  assert (X10 : 0 <= X1) by (unfold X1; lra). assert (X20 : 0 <= X2) by (unfold X2; lra).
  assert (Q9pos : 1 <= Q9) by lra. assert (V0 := Rabs_pos V).
  assert (Mid : forall X, 0 <= X <= B -> INR T * (Q9 * X) < huge).
  { intros X HX. eapply Rle_lt_trans; [| exact Big]. apply Rmult_le_compat_l; [lra |]. rewrite Q12, Rmult_assoc.
    assert (Q9 * X <= Q9 * (B + Rabs V + 6 * w)) by (apply Rmult_le_compat_l; lra).
    assert (0 <= Q9 * (B + Rabs V + 6 * w)) by (apply Rmult_le_pos; lra).
    rewrite <- (Rmult_1_l (Q9 * X)). apply Rmult_le_compat; try lra. apply Rmult_le_pos; lra. }
  destruct (mean_ok _ T _ (fun i => mask i * (s i + offset) * (scale * p i)) (fun i => 4 * offset * ai i) (fun i => Bw * Bv i) by_s count HT
    (fun i Hi => conj (proj1 (Tok i Hi)) (proj1 (proj2 (Tok i Hi)))) H1 Hc) as (Fo & Eo & Zo).
  { intros i Hi. destruct (Tok i Hi) as (_ & _ & _ & E & Z & _). split; [exact E | exact Z]. }
  { eapply Rle_lt_trans; [| apply (Mid X1); lra]. apply Rmult_le_compat_l; [lra | exact T1]. }
  destruct (mean_ok _ T _ (fun i => mask i * (- scale * offset * p i)) (fun i => offset * ai i) b2 by_mask count HT
    (fun i Hi => proj1 (proj2 (proj2 (Tok i Hi)))) H2 Hc) as (Fr & Er' & Zr).
  { intros i Hi. destruct (Tok i Hi) as (_ & _ & _ & _ & _ & E & Z). split; [exact E | exact Z]. }
  { eapply Rle_lt_trans; [| apply (Mid X2); lra]. apply Rmult_le_compat_l; [lra | exact T2]. }
  rewrite C1 in Eo. rewrite C2 in Er'. subst y.
  set (one := Bdiv mode_NE (eval by_s) count) in *. set (other := Bdiv mode_NE (eval by_mask) count) in *.
  set (G1 := Q9 * X1) in *. set (G2 := Q9 * X2) in *.
  assert (Last : q3 * (Rabs V + G1 + G2 + 6 * w) <= q3 * Rabs V + (1 + u) ^ (T + 12) * ((4 * offset + 6 * w) * (a + 2 * w) + offset * a + 14 * w)).
  { rewrite Q12. replace (q3 * Q9 * ((4 * offset + 6 * w) * (a + 2 * w) + offset * a + 14 * w)) with (q3 * (G1 + G2 + Q9 * (6 * w))) by (unfold G1, G2, X1, X2; ring).
    assert (6 * w <= Q9 * (6 * w)). { rewrite <- (Rmult_1_l (6 * w)) at 1. apply Rmult_le_compat_r; lra. }
    rewrite <- Rmult_plus_distr_l. apply Rmult_le_compat_l; lra. }
  destruct (sums_ok _ all [V; value_of one; value_of other] (Rabs V + G1 + G2) 6 (conj Fo Fr) Hall) as [Fy Ey].
  { cbn [sizes]. lra. }
  { simpl. lra. }
  { cbn [length]. fold q3. eapply Rle_lt_trans; [| exact Big].
    apply Rle_trans with ((1 + u) ^ (T + 12) * (B + Rabs V + 6 * w)).
    - rewrite Q12, Rmult_assoc. apply Rmult_le_compat_l; [lra |].
      assert (G1 + G2 <= Q9 * B) by (unfold G1, G2; rewrite <- Rmult_plus_distr_l; apply Rmult_le_compat_l; lra).
      assert (Rabs V + 6 * w <= Q9 * (Rabs V + 6 * w)). { rewrite <- (Rmult_1_l (Rabs V + 6 * w)) at 1. apply Rmult_le_compat_r; lra. } lra.
    - assert (G12 := grow (T + 12) (T + 12) (Nat.le_refl _)). assert (0 <= B) by lra.
      assert (P : 0 <= (1 + u) ^ (T + 12) * (B + Rabs V + 6 * w)) by (apply Rmult_le_pos; lra).
      rewrite <- (Rmult_1_l ((1 + u) ^ (T + 12) * (B + Rabs V + 6 * w))) at 1. now apply Rmult_le_compat_r. }
  split; [exact Fy |]. cbn [length total] in Ey. unfold off in Ey. fold q3 in Ey.
  assert (Sum : average T (fun i => mask i * s i * scale * p i) =
    average T (fun i => mask i * (s i + offset) * (scale * p i)) + average T (fun i => mask i * (- scale * offset * p i))).
  { transitivity (average T (fun i => 1 * (mask i * (s i + offset) * (scale * p i)) + 1 * (mask i * (- scale * offset * p i)))).
    - unfold average. f_equal. f_equal. apply map_ext. intros. ring.
    - rewrite average_linear by exact HT. ring. }
  rewrite Sum. set (m1 := average T (fun i => mask i * (s i + offset) * (scale * p i))) in *. set (m2 := average T (fun i => mask i * (- scale * offset * p i))) in *.
  replace (value_of (eval all) - (V + (m1 + m2))) with
    ((value_of (eval all) - (V + (value_of one + (value_of other + 0)))) + ((value_of one - m1) + (value_of other - m2))) by ring.
  eapply Rle_trans. apply Rabs_triang. assert (T3 := Rabs_triang (value_of one - m1) (value_of other - m2)).
  assert (Eo1 : Rabs (value_of one - m1) <= G1 - 4 * offset * a) by lra.
  assert (Er1 : Rabs (value_of other - m2) <= G2 - offset * a) by lra.
  eapply Rle_trans. apply Rplus_le_compat; [exact Ey | eapply Rle_trans; [exact T3 | apply Rplus_le_compat; [exact Eo1 | exact Er1]]].
  apply Rle_trans with (q3 * (Rabs V + G1 + G2 + 6 * w) - Rabs V - 5 * offset * a); [right; ring |].
  apply Rle_trans with (q3 * Rabs V + (1 + u) ^ (T + 12) * ((4 * offset + 6 * w) * (a + 2 * w) + offset * a + 14 * w) - Rabs V - 5 * offset * a); [| right; ring].
  apply Rplus_le_compat_r, Rplus_le_compat_r. exact Last.
Qed.
