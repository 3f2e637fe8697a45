(* The step error cell by cell, in floats that bound from above (what verify/checker/relu.py's `bound` computes), and the
   tree of cells. *)
From Coq Require Import Reals List Lra Lia Psatz Bool ZArith.
From Interval Require Import Float.Sig Float.Basic Real.Xreal Interval.Interval.
From ICGD Require Import vectors up.
Import ListNotations.
Open Scope R_scope.

Module Cells (F : FloatOps).
Module Import B := Up F.

Section Code.
Variable prec : F.precision.
Notation T := F.type.
Notation add := (add prec).
Notation mul := (mul prec).
Notation root := (root prec).

(* For |z| <= edge: suprema of |r|, |r'|, |r''|, the infimum of |r|; and (m, h) with phi - m r^2 <= h (up), phi + m r^2 <= h (dn);
   for s = r' (r + y) (signal) and its slope (drift), written a + b y: (u, lines) of phi = (a + b y)^2 - u y^2. *)
Record lines := Lines { up : list (T * T); dn : list (T * T) }.
Record row := Row { edge : T; peak0 : T; peak1 : T; peak2 : T; least : T; slope1 : lines; slope2 : lines; bend2 : lines;
  signal : list (T * lines); drift : list (T * lines) }.

Record layer := Layer { rows : list row; box : T; size : T; unit : T; lez : T; ler : T; led : T; lex : T; leg : T; leu : T;
  half2 : T; half3 : T }.
(* steep: of the loss slope as a function of z in the last layer, where that is known.  local: the slope's own error.
   ly2: of (rho y)^2.  affine: q and the bow of r' (r - rho y), where the loss slope is q (r - rho y). *)
Record setting := Setting { Bx : T; Bv : T; lBy : T; llip : T; lphi0 : T; ltilt : T; limit : T; local : T; steep : option T;
  ly2 : T; affine : option (T * T) }.

Definition no_row := Row F.nan F.nan F.nan F.nan zero (Lines [] []) (Lines [] []) (Lines [] []) [] [].

Fixpoint find_row (rs : list row) (z : T) : row :=
  match rs with [] => no_row | r :: rs => if leb z (edge r) then r else find_row rs z end.

Definition average (hs : lines) (low2 high2 : T) : T :=
  fold_left (fun best '(m, h) => mn best (less prec h m low2)) (dn hs)
    (fold_left (fun best '(m, h) => mn best (add h (mul m high2))) (up hs) F.nan).

(* The 2-norm of a + b y over the units: the sum of its squares is at most that of phi, and u times that of y^2. *)
Definition joint (hs : list (T * lines)) (size low2 high2 y2 : T) : T :=
  root (fold_left (fun best '(u, l) => mn best (add (mul size (average l low2 high2)) (mul u y2))) hs F.nan).

Record state := State { sp : T; sd1 : T; sd2 : T }.
Record facts := Facts { fa1 : T; fa2 : T; fb2 : T; ftop : T; fbent : T; fpeak : T; bow1 : T; bow2 : T; fmove : T; fmove2 : T;
  fshift : T; fthird : T; inp : T; ind2 : T; fsignal : T; fdrift : T }.

Definition forward1 (s : setting) (l : layer) (cell : T * T) (st : state) : option (facts * state) :=
  let r := find_row (rows l) (mul (Bv s) (sp st)) in
  let lo := mx (fst cell) (least r) in
  let hi := mn (snd cell) (peak0 r) in
  if ltb hi lo then None else
  let low2 := square_below prec lo in
  let high2 := mul hi hi in
  let a2 := mn (root (mul (size l) (average (slope2 r) low2 high2))) (mul (unit l) (peak1 r)) in
  let a1 := mn (mul (size l) (average (slope1 r) low2 high2)) (mul (unit l) a2) in
  let b2 := mn (root (mul (size l) (average (bend2 r) low2 high2))) (mul (unit l) (peak2 r)) in
  let shift := add (mul (box l) (sd1 st)) (lez l) in
  let bend := mul (half2 l) shift in
  let third := add (mul (half3 l) (mul shift shift)) (led l) in
  let moved1 := mul shift (add a1 (mul (size l) bend)) in
  let moved2 := mul shift (add a2 (mul (unit l) bend)) in
  Some (Facts a1 a2 b2 (peak1 r) (peak2 r) (peak0 r)
          (add (mul shift (mul (unit l) b2)) (mul (size l) third)) (add (mul shift b2) (mul (unit l) third))
          (mul shift (add (peak1 r) bend)) moved2 shift third (sp st) (sd2 st)
          (joint (signal r) (size l) low2 high2 (ly2 s)) (joint (drift r) (size l) low2 high2 (ly2 s)),
        State (mul (unit l) hi) (add moved1 (mul (size l) (ler l))) (add moved2 (mul (unit l) (ler l)))).

Record back := Back { s1 : T; s2 : T; ds1 : T; ds2 : T }.

Definition block (l : layer) (f : facts) (b : back) : T :=
  let e := add (halve prec (add (mul (ds2 b) (add (inp f) (ind2 f))) (mul (s2 b) (ind2 f)))) (leu l) in
  mul e e.

(* How far the loss slope moves: lip times r's move, or its own steepness times z's. *)
Definition either (s : setting) (moved shift : T) : T :=
  match steep s with None => mul (llip s) moved | Some q => mn (mul (llip s) moved) (mul q shift) end.

Definition output (s : setting) (l : layer) (f : facts) (st : state) : back :=
  let dg := add (either s (fmove f) (fshift f)) (local s) in
  let dg2 := add (either s (fmove2 f) (mul (unit l) (fshift f))) (mul (unit l) (local s)) in
  let norm := mn (add (add (mul (llip s) (sp st)) (mul (lphi0 s) (unit l))) (mul (ltilt s) (lBy s))) (mul (unit l) (limit s)) in
  let against largest norm2 :=
    mn (add (add (mul (llip s) (mn (mul largest (sp st)) (mul (fpeak f) norm2))) (mul (lphi0 s) norm2))
         (mul (ltilt s) (mul largest (lBy s)))) (mul (limit s) norm2) in
  let s2 := let apart := against (ftop f) (fa2 f) in match affine s with None => apart | Some (q, _) => mn (mul q (fsignal f)) apart end in
  let s1 := mn (mn (add (add (mul (llip s) (mul (fa2 f) (sp st))) (mul (lphi0 s) (fa1 f))) (mul (ltilt s) (mul (fa2 f) (lBy s))))
                 (mul (limit s) (fa1 f))) (mul (unit l) s2) in
  let ds2 := let apart := add (add (mn (mul (ftop f) dg2) (mul (fa2 f) dg)) (mul (bow2 f) dg))
               (add (add (mul (fshift f) (against (fbent f) (fb2 f))) (mul (fthird f) norm)) (mul (unit l) (lex l))) in
    match affine s with
    | None => apart
    | Some (q, bow) =>
        mn (add (add (mul q (mul (fshift f) (add (fdrift f) (mul (unit l) (mul bow (fshift f))))))
                  (mul (local s) (add (fa2 f) (bow2 f))))
             (add (mul (led l) (add norm (mul q (fmove2 f)))) (mul (unit l) (lex l)))) apart
    end in
  let ds1 := add (add (mn (mul (fa2 f) dg2) (mul (fa1 f) dg)) (mul (bow1 f) dg))
               (add (mul norm (bow2 f)) (mul (size l) (lex l))) in
  Back s1 s2 ds1 ds2.

Definition before (above : layer) (l : layer) (f : facts) (b : back) : back :=
  let g := mul (box above) (s1 b) in
  let dg := add (mul (box above) (mn (ds1 b) (mul (unit above) (ds2 b)))) (leg l) in
  let both := add g dg in
  Back (mul g (fa1 f)) (mul g (fa2 f))
    (add (add (mul dg (fa1 f)) (mul both (bow1 f))) (mul (size l) (lex l)))
    (add (add (mul dg (fa2 f)) (mul both (bow2 f))) (mul (unit l) (lex l))).

(* From layer 0 on: the square of the error of all blocks from here to the last, and what the layer below needs.  None: an empty cell. *)
Fixpoint run (s : setting) (l : layer) (ls : list layer) (cells : list (T * T)) (st : state) : option (T * back) :=
  match cells with
  | [] => Some (F.nan, Back F.nan F.nan F.nan F.nan)
  | c :: cells =>
      match forward1 s l c st with
      | None => None
      | Some (f, st') =>
          match ls with
          | [] => let b := output s l f st' in Some (block l f b, b)
          | l' :: ls =>
              match run s l' ls cells st' with
              | None => None
              | Some (total, b) => let b' := before l' l f b in Some (add total (block l f b'), b')
              end
          end
      end
  end.

Definition bound2 (s : setting) (l : layer) (ls : list layer) (cells : list (T * T)) : option T :=
  option_map fst (run s l ls cells (State (Bx s) zero zero)).

Definition fine (s : setting) (l : layer) (ls : list layer) (claim2 : T) (cells : list (T * T)) : bool :=
  match bound2 s l ls cells with None => true | Some e => leb e claim2 end.

Fixpoint update (cells : list (T * T)) (k : nat) (c : T * T) : list (T * T) :=
  match cells, k with [], _ => [] | _ :: r, O => c :: r | x :: r, S k => x :: update r k c end.

(* The tree in preorder: at a leaf 0, else 1 + the layer whose interval is cut, the lower part first. *)
Fixpoint walk (s : setting) (l : layer) (ls : list layer) (claim2 : T) (splits : list nat) (stack : list (list (T * T))) : bool :=
  match stack with
  | [] => true
  | cell :: stack =>
      match splits with
      | [] => false
      | O :: splits => if fine s l ls claim2 cell then walk s l ls claim2 splits stack else false
      | S k :: splits =>
          let '(lo, hi) := nth k cell (zero, zero) in
          let m := F.midpoint lo hi in
          walk s l ls claim2 splits (update cell k (lo, m) :: update cell k (m, hi) :: stack)
      end
  end.
End Code.

(** Every network that is in the root cell is in a leaf. *)
Section Walk.
Variable prec : F.precision.

Definition inside (v : nat -> R) (cells : list (F.type * F.type)) : Prop :=
  forall j c, nth_error cells j = Some c -> Lo (v j) (fst c) /\ U (v j) (snd c).

Lemma one_side x f : U x f \/ Lo x f.
Proof.
  destruct (F.classify f) eqn:E.
  - destruct (classify_toX f E) as [r Hr]. destruct (Rle_dec x r); [left | right]; split.
    rewrite F.valid_ub_correct, E; auto. rewrite Hr; simpl; lra.
    rewrite F.valid_lb_correct, E; auto. unfold le_lower. rewrite Hr; simpl; lra.
  - left. split. rewrite F.valid_ub_correct, E; auto. rewrite not_real by congruence. exact I.
  - right. split. rewrite F.valid_lb_correct, E; auto. unfold le_lower. rewrite not_real by congruence. exact I.
  - left. split. rewrite F.valid_ub_correct, E; auto. rewrite not_real by congruence. exact I.
Qed.

Lemma update_length cells : forall k c, length (update cells k c) = length cells.
Proof. induction cells; intros [| k] c; simpl; auto. Qed.

Lemma update_same cells : forall k c d, nth_error (update cells k c) k = Some d -> d = c.
Proof. induction cells as [| x cells IH]; intros [| k] c d; simpl; try discriminate. congruence. apply IH. Qed.

Lemma update_other cells : forall k i c, i <> k -> nth_error (update cells k c) i = nth_error cells i.
Proof. induction cells as [| x cells IH]; intros [| k] [| i] c H; simpl; auto; congruence. Qed.

Lemma inside_half v cells k lo hi m :
  inside v cells -> nth k cells (zero, zero) = (lo, hi) ->
  inside v (update cells k (lo, m)) \/ inside v (update cells k (m, hi)).
Proof.
  intros H E. destruct (one_side (v k) m) as [Hm | Hm]; [left | right];
    intros j c Hj; destruct (Nat.eq_dec j k) as [-> | Hjk];
    try (rewrite update_other in Hj by auto; now apply H);
    match type of Hj with nth_error (update _ _ ?X) _ = _ =>
      assert (Hk : nth_error cells k = Some (lo, hi)) by
        (rewrite <- E; apply nth_error_nth'; rewrite <- (update_length cells k X); apply nth_error_Some; congruence) end;
    apply update_same in Hj; subst c; destruct (H k _ Hk); auto.
Qed.

Lemma walk_ok s l ls claim2 splits : forall stack, walk prec s l ls claim2 splits stack = true ->
  forall cells v, In cells stack -> inside v cells ->
  exists leaf, inside v leaf /\ length leaf = length cells /\ fine prec s l ls claim2 leaf = true.
Proof.
  induction splits as [| n splits IH]; intros [| cell stack] H cells v Hin Hv; simpl in Hin; try contradiction; cbn [walk] in H; try discriminate.
  destruct n as [| k].
  - destruct (fine prec s l ls claim2 cell) eqn:E; try discriminate. destruct Hin as [-> | Hin]; eauto.
  - destruct (nth k cell (zero, zero)) as [lo hi] eqn:E. destruct Hin as [-> | Hin].
    + destruct (inside_half v cells k lo hi (F.midpoint lo hi) Hv E) as [Hh | Hh];
        [destruct (IH _ H _ v (or_introl eq_refl) Hh) as (leaf & ? & Hl & ?)
        | destruct (IH _ H _ v (or_intror (or_introl eq_refl)) Hh) as (leaf & ? & Hl & ?)];
        rewrite update_length in Hl; eauto.
    + apply (IH _ H); simpl; auto.
Qed.
End Walk.
End Cells.
