(* A certificate as data, the theorem that it states, and the checks that prove it by computation. *)
From Coq Require Import Reals QArith Qabs Qreals List Lra Lia Psatz Bool ZArith.
From Flocq Require Import Core.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval Interval.Float_full Interval.Float.
From ICGD Require Import vectors calculus block sums formulas tight enclose tables fits sweeps.
Import ListNotations.
Open Scope R_scope.

(** The data. *)

(* A sum of ReLUs: units (sign is +, b kinks, c weights) for c relu(+-t + b); constant over weights, reach over kinks. *)
Record relus := Relus { kinks : BinNums.positive; weights : BinNums.positive; constant : Z; units : list (bool * Z * Z); reach : BinNums.positive; error : Q }.

Inductive multiplication := Exactly | Centred (centre : Q) | Squared (centre a b : Q) (square : relus).

(* A layer: its function; the program's sums for r and r', None where it computes them exactly; ranges and errors as in block.v.
   limits: r is between them.  cell: |r| is between them, for the cells.  C2, C3: of r'' and r'''. *)
Record layer_data := LayerData {
  r : formula; r_sum : option relus; dr_sum : option relus; times : multiplication;
  qhalf : Q; qZ : Q; qA : Q; limits : Q * Q; cell : Q * Q; qDL : Q; qDH : Q; qG : Q; qSn : Q; qC2 : Q; qC3 : Q;
  qwz : Q; qwr : Q; qwd : Q; qwx : Q; qwg : Q; qez : Q; qer : Q; qed : Q; qex : Q; qeg : Q; qeu : Q;
  lams : list (quantity * bool * Q * Q) }.

(* The slope of the loss is phi(p - rho y) - sigma y. *)
Inductive slope := Smooth (f : formula) | Clip.

(* roots, ps: at least the square roots of dims, and the norms of p.  lip, phi0, top: of phi.  u_sum: the program's sum for
   the slope, None where it computes it exactly; read from z if direct.  steep: the Lipschitz constant of phi(r(z)). *)
Record data := Data {
  dims : list nat; roots : list Q; ps : list Q; layers : list layer_data;
  loss : slope; qrho : Q; qsigma : Q; qBy : Q; qBv : Q; qlip : Q; qphi0 : Q; qtop : Q; direct : bool; u_sum : option relus; qsteep : option Q;
  qbound : Q }.

Definition no_layer : layer_data := LayerData Var None None Exactly 0 0 0 (0%Q, 0%Q) (0%Q, 0%Q) 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 [].

Definition clip (t : R) : R := Rmax (- / 2) (Rmin (/ 2) t).
Definition slope_value (s : slope) : R -> R := match s with Smooth f => value f | Clip => clip end.

Definition sum_of (w : relus) : R -> R := relu_sum (constant w # weights w)
  (map (fun '(s, b, c) => ((if s : bool then 1 else -1)%Q, b # kinks w, c # weights w)%Q) (units w)).

Definition sum_or (w : option relus) (f : R -> R) : R -> R := match w with Some w => sum_of w | None => f end.

(** What the data say of the block, and the theorem. *)
Section Statement.
Variable c : data.
Definition N : nat := length (layers c).
Definition L (j : nat) : layer_data := nth j (layers c) no_layer.
Definition dim (j : nat) : nat := nth j (dims c) 0%nat.
Definition root (j : nat) : R := Q2R (nth j (roots c) 0%Q).
Definition P (j : nat) : R := Q2R (nth j (ps c) 0%Q).
Definition act (j : nat) : R -> R := value (r (L j)).
Definition dact (j : nat) : R -> R := first (r (L j)).
Definition rhat (j : nat) : R -> R := sum_or (r_sum (L j)) (act j).
Definition dhat (j : nat) : R -> R := sum_or (dr_sum (L j)) (dact j).
Definition product (j : nat) : R -> R -> R :=
  match times (L j) with Exactly => Rmult | Centred centre => by_centre centre | Squared centre a b s => by_squares centre a b (sum_of s) end.
Definition phi : R -> R := slope_value (loss c).
Definition uhat : R -> R := sum_or (u_sum c) phi.
Definition rho : R := Q2R (qrho c).
Definition sigma : R := Q2R (qsigma c).
Definition B_y : R := Q2R (qBy c).
Definition half j := Q2R (qhalf (L j)).
Definition Z j := Q2R (qZ (L j)).
Definition DL j := Q2R (qDL (L j)).
Definition DH j := Q2R (qDH (L j)).
Definition G j := Q2R (qG (L j)).
Definition wz j := Q2R (qwz (L j)).
Definition wr j := Q2R (qwr (L j)).
Definition wd j := Q2R (qwd (L j)).
Definition wx j := Q2R (qwx (L j)).
Definition wg j := Q2R (qwg (L j)).
Definition eu j := Q2R (qeu (L j)).
Definition bound : R := Q2R (qbound c).

(* For every number n of examples (X t, Y t) of norms at most P 0 and B_y and every network V in the box: if the
   block computes every token within rounding (block_pass) and its update Gr within eu of their mean, then a step
   along Gr, projected onto the box with any faces, is within eta `bound` of projected descent (exact_pass), in the
   2-norm over all weights. *)
Definition step_error : Prop := forall (n : nat) (V : nat -> nat -> nat -> R) (X Y : nat -> nat -> R)
    (p z g s p' z' d' g' s' Gr : nat -> nat -> nat -> R) (eta : R) (face : nat -> R),
  0 <= eta -> (0 < n)%nat ->
  (forall j k i, (j < N)%nat -> (k < dim (S j))%nat -> (i < dim j)%nat -> Rabs (V j k i) <= half j) ->
  (forall t, (t < n)%nat ->
     norm (dim 0) (X t) <= P 0 /\ norm (dim N) (Y t) <= B_y /\
     exact_pass N dim V act dact phi rho sigma (X t) (Y t) (p t) (z t) (g t) (s t) /\
     block_pass N dim V rhat dhat product uhat (direct c) rho sigma wz wr wd wx wg Z DL DH G (X t) (Y t) (p' t) (z' t)
       (d' t) (g' t) (s' t)) ->
  (forall j, (j < N)%nat -> frob (dim (S j)) (dim j)
     (fun k i => Gr j k i - / INR n * sum n (fun t => s' t j k * p' t j i / 2)) <= eu j) ->
  stack N dim (fun j k i => clip_to (face j) (V j k i - eta * Gr j k i)
    - clip_to (face j) (V j k i - eta * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta * bound.

(* The box contains W, whose coordinates are at most B_v / sqrt (dim j); and dact is the derivative of act where it is used. *)
Definition box_and_derivatives : Prop := forall j, (j < N)%nat ->
  Q2R (qBv c) ^ 2 <= half j ^ 2 * INR (dim j) /\ forall t, Rabs t <= Z j -> Derive (act j) t = dact j t.
End Statement.

(** Formulas within formulas. *)
Fixpoint compose (f g : formula) : formula :=
  match f with
  | Var => g | Num q => Num q | Pi => Pi | Plus a b => Plus (compose a g) (compose b g) | Times a b => Times (compose a g) (compose b g)
  | Square a => Square (compose a g) | Call h a => Call h (compose a g)
  end.

Lemma compose_value f g t : value (compose f g) t = value f (value g t).
Proof. induction f; cbn [compose value]; congruence. Qed.

Lemma clip_ok : clip 0 = 0 /\ (forall a b, Rabs (clip a - clip b) <= Rabs (a - b)) /\ (forall t, Rabs (clip t) <= / 2 /\ Rabs (clip t) <= Rabs t).
Proof.
  unfold clip, Rmax, Rmin. repeat split; intros; unfold Rabs; repeat destruct (Rle_dec _ _); repeat destruct (Rcase_abs _); lra.
Qed.

(** The checks, in rational numbers. *)
Open Scope Q_scope.
Definition le := Qle_bool.
Definition at_least (n : nat) (q : Q) : bool := le 0 q && le (inject_Z (Z.of_nat n)) (q * q).
Definition greater (a b : Q) : Q := if le a b then b else a.
Definition spread (l : layer_data) (centre : Q) : Q := greater (qDH l - centre) (centre - qDL l).
Definition error_or (w : option relus) : Q := match w with Some w => error w | None => 0 end.
Definition qD (l : layer_data) : Q := greater (qDH l) (- qDL l).
Definition product_error (l : layer_data) : Q :=
  match times l with
  | Exactly => 0 | Centred m => spread l m * qG l
  | Squared m a b w => error w / 2 + Qabs (a * b - 1) * (spread l m * qG l)
  end.
Definition product_fits (l : layer_data) : bool :=
  match times l with Squared m a b w => le 0 a && le 0 b && le (a * spread l m + b * qG l) (Zpos (reach w) # kinks w) | _ => true end.
Definition far (w : option relus) (z : Q) : bool := match w with Some w => le z (Zpos (reach w) # kinks w) | None => true end.

Definition qea (c : data) : Q := if direct c then 0 else qer (L c (N c - 1)%nat).
Definition qtilt (c : data) : Q := qlip c * qrho c + qsigma c.
(* The loss slope as a multiple of p - rho y, and the bow of r' (r - rho y). *)
Definition factor (c : data) : option Q :=
  match loss c with Smooth (Times (Num q) Var) => if le 0 q && Qeq_bool (qsigma c) 0 then Some q else None | _ => None end.
Definition bow (c : data) : Q :=
  let l := L c (N c - 1)%nat in (qC3 l * (qA l + qrho c * qBy c) + 3 * (qC2 l * qD l)) / 2.
Definition qreach (c : data) : Q := qA (L c (N c - 1)%nat) + qea c + qrho c * qBy c.
Definition fu (c : data) : Q := error_or (u_sum c).

Definition layer_sums (c : data) (j : nat) : bool :=
  let l := L c j in let last := Nat.eqb (S j) (N c) in
  let ro := nth (S j) (roots c) 0 in let G' := ro * qG l in
  le 0 (qhalf l) && le 0 (qez l) && le 0 (qer l) && le 0 (qed l) && le 0 (qex l) && le 0 (qeg l) && le 0 (qeu l) && le 0 (qC2 l) && le 0 (qC3 l) &&
  Nat.ltb 0 (dim c (S j)) && le (qBv c * qBv c) (qhalf l * qhalf l * inject_Z (Z.of_nat (dim c j))) &&
  le (qhalf l * nth j (roots c) 0 * nth j (ps c) 0 + qez l) (qZ l) && le (ro * (qA l + qer l)) (nth (S j) (ps c) 0) &&
  le (- qA l) (fst (limits l)) && le (snd (limits l)) (qA l) && le (qA l) (snd (cell l)) &&
  (le (fst (cell l)) 0 || le (fst (cell l)) (fst (limits l)) || le (snd (limits l)) (- fst (cell l))) &&
  (if last then le (qtop c + qeg l) (qG l) else
     let u := L c (S j) in le (qhalf u * nth (S (S j)) (roots c) 0 * qSn u + qeg l) (qG l)) &&
  (let gn := if last then qphi0 c * ro + qlip c * (ro * (qA l + qea c)) + qtilt c * qBy c + ro * qeg l else G' in
   let gn := if le gn G' then gn else G' in
   le (qD l * gn + ro * qex l) (qSn l) || le (ro * (qD l * qG l + qex l)) (qSn l)) &&
  far (r_sum l) (qZ l) && far (dr_sum l) (qZ l) && product_fits l &&
  le (qwz l) (qez l) && le (error_or (r_sum l) + qwr l) (qer l) && le (error_or (dr_sum l) + qwd l) (qed l) &&
  le (product_error l + qwx l) (qex l) && le (if last then fu c + qwg l else qwg l) (qeg l).

Definition loss_sums (c : data) : bool :=
  Nat.ltb 0 (N c) && Nat.ltb 0 (dim c 0) && le 0 (qBy c) && le 0 (qlip c) && le 0 (qphi0 c) && le 0 (qrho c) && le 0 (qsigma c) &&
  forallb (fun '(n, q) => at_least n q) (combine (dims c) (roots c)) && Nat.eqb (length (dims c)) (S (N c)) && Nat.eqb (length (roots c)) (S (N c)) &&
  match loss c with
  | Clip => le 1 (qlip c) && (le ((1 # 2) + qsigma c * qBy c) (qtop c) || le (qreach c + qsigma c * qBy c) (qtop c)) &&
      match u_sum c with None => negb (direct c) | Some _ => false end && match qsteep c with None => true | Some _ => false end
  | Smooth _ => match u_sum c with None => negb (direct c) | Some w => if direct c then Qeq_bool (qrho c) 0 && far (Some w) (qZ (L c (N c - 1)%nat))
      else far (Some w) (qreach c) end &&
      match qsteep c with None => true | Some q => Qeq_bool (qrho c) 0 && le 0 q end
  end.
Close Scope Q_scope.

Module Certificate (F : FloatOps with Definition radix := radix2 with Definition sensible_format := true).
Module Import Sw := Sweeps F.

(** The checks, in floats. *)
Section Checks.
Variable prec : F.precision.
Variable c : data.
Definition fuel : nat := 60.

Definition rational (q : Q) : I.type := ratio prec (Qnum q) (Zpos (Qden q)).
Definition upper (q : Q) : F.type := I.upper (rational q).
Definition lower (q : Q) : F.type := low (rational q).

Definition fitted (w : option relus) (f : formula) (d : nat) : bool :=
  match w with
  | Some w => F.real (lower (error w)) && fits prec (kinks w) (weights w) f d (lower (error w)) fuel (constant w) (units w) (reach w)
  | None => true
  end.

Definition in_range (f : formula) (k : nat) (l h z : Q) : bool :=
  F.real (upper l) && F.real (lower h) && F.real (upper z) && within prec f fuel k (upper l) (lower h) (F.neg (upper z)) (upper z).

(* What a file of the export proves for its layer. *)
Definition layer_fits (j : nat) : bool :=
  let l := L c j in
  fitted (r_sum l) (r l) 0 && fitted (dr_sum l) (r l) 1 && match times l with Squared _ _ _ w => fitted (Some w) (Square Var) 0 | _ => true end &&
  in_range (r l) 0 (fst (limits l)) (snd (limits l)) (qZ l) && in_range (r l) 1 (qDL l + qed l)%Q (qDH l - qed l)%Q (qZ l) &&
  in_range (r l) 2 (- qC2 l)%Q (qC2 l) (qZ l) && in_range (r l) 3 (- qC3 l)%Q (qC3 l) (qZ l).

Definition loss_fits : bool :=
  match loss c with
  | Clip => true
  | Smooth f =>
      let l := L c (N c - 1)%nat in let inside := compose f (r l) in let most := (qtop c - qsigma c * qBy c)%Q in
      fitted (u_sum c) (if direct c then inside else f) 0 &&
      in_range f 0 (- most)%Q most (qreach c) && in_range f 1 (- qlip c)%Q (qlip c) (qreach c) && in_range f 0 (- qphi0 c)%Q (qphi0 c) 0 &&
      match qsteep c with None => true | Some q => in_range inside 1 (- q)%Q q (qZ l) end
  end.

(** The cells. *)
Variable sub : nat.   (* boxes in one of 64 rows of a table *)
Definition edge (z : Q) (i : nat) : F.type := upper (z * (Z.of_nat i # Pos.of_nat (64 * sub)))%Q.
Definition edges (z : Q) : list (list F.type) := map (fun g => map (fun i => edge z (g * sub + i)) (seq 1 sub)) (seq 0 64).
Definition floats (l : layer_data) : list multiplier := map (fun '(k, less, m, u) => (k, less, upper m, upper u)) (lams l).
Definition rows_of (l : layer_data) : list row := table prec (r l) (floats l) zero (edges (qZ l)) None.

Definition lay (j : nat) : layer :=
  let l := L c j in let n := upper (inject_Z (Z.of_nat (dim c (S j)))) in
  Layer (rows_of l) (upper (qhalf l)) n (Ti.To.Ro.C.B.root prec n) (upper (qez l)) (upper (qer l)) (upper (qed l)) (upper (qex l)) (upper (qeg l))
    (upper (qeu l)) (upper (qC2 l / 2)%Q) (upper (qC3 l / 2)%Q).
Definition the_setting : setting :=
  let l := L c (N c - 1)%nat in
  Setting (upper (nth 0 (ps c) 0%Q)) (upper (fold_right greater 0%Q (map (fun j => qhalf (L c j) * nth j (roots c) 0)%Q (seq 0 (N c)))))
    (upper (qBy c)) (upper (qlip c)) (upper (qphi0 c)) (upper (qtilt c)) (upper (qG l)) (upper (qlip c * qea c + qeg l)%Q)
    (match qsteep c with Some q => Some (upper q) | None => None end)
    (upper (qrho c * qBy c * (qrho c * qBy c))%Q) (match factor c with Some q => Some (upper q, upper (bow c)) | None => None end).
Definition claim2 : F.type := lower (qbound c * qbound c)%Q.
Definition first_cell : list (F.type * F.type) := map (fun l => (if le (fst (cell l)) 0%Q then zero else lower (fst (cell l)), upper (snd (cell l)))) (layers c).

Definition cells_fit (splits : list nat) : bool :=
  le 0 (qbound c) && F.real claim2 && forallb (fun l => nonneg_reals (floats l)) (layers c) &&
  walk prec the_setting (lay 0) (map lay (seq 1 (N c - 1)%nat)) claim2 splits [first_cell].
End Checks.
End Certificate.
