(* The checks of a small certificate with one of its numbers changed: each must come out false. *)
From Coq Require Import Reals QArith List Bool.
From ICGD Require Import formulas certificate floats slope heads binary64 step64 data arithmetic instance in_floats.
Import ListNotations.

Definition of (f : relus -> relus) (w : option relus) := match w with Some w => Some (f w) | None => None end.
Definition same (w : relus) := w.
Definition less (w : relus) :=
  Relus (kinks w) (weights w) (constant w) (units w) (reach w) (error w * (99 # 100))%Q.
Definition higher (w : relus) :=
  Relus (kinks w) (weights w) (constant w + Zpos (weights w)) (units w) (reach w) (error w).
Definition shorter (w : relus) := Relus (kinks w) (weights w) (constant w) (tl (units w)) (reach w) (error w).
Definition steeper (w : relus) := Relus (kinks w) (weights w) (constant w)
  (map (fun '(s, b, c) => (s, b, 2 * c)%Z) (units w)) (reach w) (error w).

Definition changed (in_r in_dr in_square : relus -> relus) (wide steep bent : Q) : layer_data :=
  let l := layer_1 in
  LayerData (r l) (of in_r (r_sum l)) (of in_dr (dr_sum l))
    (match times l with Squared m a b w => Squared m a b (in_square w) | t => t end)
    (qhalf l) (qZ l * wide)%Q (qA l) (limits l) (cell l) (qDL l) (qDH l * steep)%Q (qG l) (qSn l)
    (qC2 l * bent)%Q (qC3 l) (qwz l) (qwr l) (qwd l) (qwx l) (qwg l) (qez l) (qer l) (qed l) (qex l) (qeg l)
    (qeu l) (lams l).
Definition kept := changed same same same 1 1 1.

Definition posed (l : layer_data) (b : Q) : data := let c := certified in
  Data (dims c) (roots c) (ps c) [l] (loss c) (qrho c) (qsigma c) (qBy c) (qBv c) (qlip c) (qphi0 c) (qtop c)
    (direct c) (u_sum c) (qsteep c) b.
Definition holds (c : data) : bool := if Checks.Ce.layer_fits prec c 0 then if layer_sums c 0 then if loss_sums c then
  if Checks.Ce.loss_fits prec c then Checks.Ce.cells_fit prec c BOXES splits else false else false else false else false.

Eval vm_compute in map (fun l => holds (posed l (qbound certified))) [kept;
  changed less same same 1 1 1; changed same less same 1 1 1; changed same same less 1 1 1;
  changed steeper same same 1 1 1; changed same shorter same 1 1 1; changed same same shorter 1 1 1;
  changed higher same same 1 1 1; changed same same same (99 # 100) 1 1; changed same same same (11 # 10) 1 1;
  changed same same same 1 (9 # 10) 1; changed same same same 1 1 (9 # 10)].
Eval vm_compute in map (fun high => Checks.Ce.in_range prec (Call Erf Var) 0 (-1)%Q high 2)
  [99533 # 100000; 99532 # 100000]%Q.  (* erf 2 = 0.995322... *)
Eval vm_compute in map (fun s => Checks.Ce.cells_fit prec (posed kept (qbound certified)) BOXES s)
  [splits; removelast splits].
Eval vm_compute in map (fun b => holds (posed kept b))
  [qbound certified; qbound certified * (99 # 100); - qbound certified]%Q.

(* Binary64: too little room for z, r, r', products; an offset below its range; more tokens than rounding was counted for; a form
   in the matrices that is not the slope of the loss, which is 2 (p - y), or a slope that is read from a sum of ReLUs; too little room for the update, the offset of s below its range, another eta;
   a face that leaves no room for rounding, one further in than the error of the update allows, one below 0. *)
Definition rooms_of (z r' d x : Q) : layer_data :=
  let l := layer_1 in
  LayerData (r l) (r_sum l) (dr_sum l) (times l) (qhalf l) (qZ l) (qA l) (limits l) (cell l) (qDL l) (qDH l) (qG l) (qSn l)
    (qC2 l) (qC3 l) (qwz l * z)%Q (qwr l * r')%Q (qwd l * d)%Q (qwx l * x)%Q (qwg l) (qez l) (qer l) (qed l) (qex l) (qeg l)
    (qeu l) (lams l).
Definition rooms z r' d := rooms_of z r' d 1.
Definition summed (c : data) : data :=
  Data (dims c) (roots c) (ps c) (layers c) (loss c) (qrho c) (qsigma c) (qBy c) (qBv c) (qlip c) (qphi0 c) (qtop c)
    (direct c) (r_sum layer_1) (qsteep c) (qbound c).
Definition rounds (l : layer_data) (o : machine_data) : bool := rounding_fits (posed l (qbound certified)) o 0.
Eval vm_compute in [rounds kept machine; rounds (rooms (1 # 8) 1 1) machine; rounds (rooms 1 (1 # 10000000000) 1) machine;
  rounds (rooms 1 1 (1 # 10000000000)) machine; rounds kept (Machine (tokens machine) [qZ layer_1 * (99 # 100)]%Q (above_g machine) (last_form machine));
  rounds kept (Machine (100 * tokens machine) (above_z machine) (above_g machine) (last_form machine));
  rounds (rooms_of 1 1 1 (1 # 10000000000)) machine;
  rounds kept (Machine (tokens machine) (above_z machine) [qG layer_1 * (99 # 100)]%Q (last_form machine));
  rounds kept (Machine (tokens machine) (above_z machine) (above_g machine) (Some (19 # 10)%Q)); form_fits (summed certified) machine].
Definition slot (sigma By room : Q) : bool :=
  match r_sum layer_1 with Some w => slope_fits w sigma By (qZ layer_1) (nth 0 (above_z machine) 0) room | None => false end.
Eval vm_compute in [slot 1 1 (1 # 10000000000); slot 1 1 (1 # 10000000000000000); slot 1 1000000000 (1 # 10000000000)]%Q.
Definition two_slots (above By room : Q) : bool := difference_fits clip_sum 1 By 1 above room.
Eval vm_compute in [two_slots 1 1 (1 # 50000000000000); two_slots 1 1 (1 # 10000000000000000);
  two_slots 1 100 (1 # 50000000000000); two_slots 100 1 (1 # 50000000000000); two_slots (-1) 1 (1 # 50000000000000)]%Q.
Definition by_heads (T : nat) (range By room : Q) : bool := heads_fit clip_sum T 1 By range room.
Eval vm_compute in [by_heads 9 1 1 (1 # 50000000000000); by_heads 9 1 1 (1 # 1000000000000000); by_heads 900 1 1 (1 # 50000000000000);
  by_heads 9 1 100 (1 # 50000000000000)]%Q.
(* A slope that is read from a slot: with a room of 1, then too little, a slope less sigma y, one of z, and one that is no sum of ReLUs of its own. *)
Definition slotted (loss : certificate.slope) (sigma : Q) (of_z : bool) (room : Q) : bool :=
  let l := layer_1 in let c := certified in
  let l := LayerData (r l) (r_sum l) (dr_sum l) (times l) (qhalf l) (qZ l) (qA l) (limits l) (cell l) (qDL l) (qDH l) (qG l) (qSn l)
    (qC2 l) (qC3 l) (qwz l) (qwr l) (qwd l) (qwx l) room (qez l) (qer l) (qed l) (qex l) (qeg l) (qeu l) (lams l) in
  let c := Data (dims c) (roots c) (ps c) [l] loss (qrho c) sigma (qBy c) (qBv c) (qlip c) (qphi0 c) (qtop c) of_z (u_sum c) (qsteep c) (qbound c) in
  let o := Machine (tokens machine) (above_z machine) (above_g machine) None in if slope_counted c o then form_fits c o else false.
Eval vm_compute in [slotted Clip 0 false 1; slotted Clip 0 false (1 # 10000000000000000); slotted Clip 1 false 1; slotted Clip 0 true 1;
  slotted (Smooth (Square Var)) 0 false 1]%Q.
Definition moved (room : Q) : layer_data :=
  let l := layer_1 in
  LayerData (r l) (r_sum l) (dr_sum l) (times l) (qhalf l) (qZ l) (qA l) (limits l) (cell l) (qDL l) (qDH l) (qG l) (qSn l)
    (qC2 l) (qC3 l) (qwz l) (qwr l) (qwd l) (qwx l) (qwg l) (qez l) (qer l) (qed l) (qex l) (qeg l) (qeu l * room)%Q (lams l).
Definition moves (l : layer_data) (d : update_data) : bool :=
  if rate_fits machine d then update_fits (posed l (qbound certified)) machine d 0 else false.
Definition clips (face : Q) : bool := moves kept (Update (rate updates) (above_s updates) [face]).
Eval vm_compute in [moves kept updates; moves (moved (1 # 8)) updates;
  moves kept (Update (rate updates) [qD layer_1 * qG layer_1 * (99 # 100)]%Q (faces updates)); moves kept (Update (- rate updates) (above_s updates) (faces updates));
  clips (qhalf layer_1 * (1 - uQ)); clips (qhalf layer_1 * (99 # 100)); clips (- qhalf layer_1)]%Q.
