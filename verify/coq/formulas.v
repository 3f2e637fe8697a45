(* Functions of one variable given by formulas, with their first three derivatives. *)
From Coq Require Import Reals QArith Qreals Lra Lia Psatz.
From Coquelicot Require Import Coquelicot.
From ICGD Require Import vectors erf.
Open Scope R_scope.

Inductive elementary := Inverse | Exp | Ln | Sqrt | Sin | Cos | Atan | Tanh | Logistic | Softplus | Erf.

Inductive formula :=
| Var | Num (q : Q) | Pi | Plus (a b : formula) | Times (a b : formula) | Square (a : formula) | Call (f : elementary) (a : formula).

Definition logistic (x : R) : R := / (1 + exp (- x)).

Definition pick {T} (k : nat) (a b c d : T) : T := match k with O => a | S O => b | S (S O) => c | _ => d end.

(* An elementary function (k = 0) and its first three derivatives. *)
Definition der (k : nat) (f : elementary) (x : R) : R :=
  match f with
  | Inverse => pick k (/ x) (- (/ x * / x)) (2 * (/ x * (/ x * / x))) (-6 * ((/ x * / x) * (/ x * / x)))
  | Exp => exp x
  | Ln => pick k (ln x) (/ x) (- (/ x * / x)) (2 * (/ x * (/ x * / x)))
  | Sqrt => let i := / sqrt x in pick k (sqrt x) (/ 2 * i) (- (/ 4 * (i * / x))) (3 / 8 * (i * (/ x * / x)))
  | Sin => pick k (sin x) (cos x) (- sin x) (- cos x)
  | Cos => pick k (cos x) (- sin x) (- cos x) (sin x)
  | Atan => let w := / (1 + x * x) in pick k (atan x) w (-2 * (x * (w * w))) ((6 * (x * x) - 2) * (w * (w * w)))
  | Tanh => let y := tanh x in let d := 1 - y * y in pick k y d (-2 * (y * d)) (-2 * (d * (1 - 3 * (y * y))))
  | Logistic => let s := logistic x in let d := s * (1 - s) in pick k s d (d * (1 - 2 * s)) (d * (1 - 6 * d))
  | Softplus => let s := logistic x in let d := s * (1 - s) in pick k (ln (1 + exp x)) s d (d * (1 - 2 * s))
  | Erf => let b := erf_scale * bell x in pick k (erf x) b (-2 * (x * b)) ((4 * (x * x) - 2) * b)
  end.

Definition domain (f : elementary) (x : R) : Prop := match f with Inverse => x <> 0 | Ln | Sqrt => 0 < x | _ => True end.

Lemma tanh_exp x : tanh x = 1 - 2 / (exp (2 * x) + 1).
Proof.
  unfold tanh, sinh, cosh. replace (2 * x) with (x + x) by ring. rewrite exp_plus, exp_Ropp.
  generalize (exp_pos x). intros. field. split; nra.
Qed.

Lemma tanh_derive x : is_derive tanh x (1 - tanh x * tanh x).
Proof.
  apply (is_derive_ext (fun x => 1 - 2 / (exp (2 * x) + 1))). intros; symmetry; apply tanh_exp.
  rewrite tanh_exp. generalize (exp_pos (2 * x)). intros. auto_derive. lra. field. lra.
Qed.

Lemma logistic_derive x : is_derive logistic x (logistic x * (1 - logistic x)).
Proof. generalize (exp_pos (- x)). intros. unfold logistic. auto_derive. lra. field. lra. Qed.

Lemma softplus_derive x : is_derive (fun x => ln (1 + exp x)) x (logistic x).
Proof. generalize (exp_pos x). intros. unfold logistic. rewrite exp_Ropp. auto_derive. lra. field. lra. Qed.

(* The derivative of P(y(x)). *)
Lemma after (y P : R -> R) x r p l : is_derive y x r -> is_derive P (y x) p -> l = r * p -> is_derive (fun x => P (y x)) x l.
Proof. intros Hy HP ->. apply (is_derive_comp P y x p r); auto. Qed.

Ltac easy_derive := auto_derive; [try exact I; repeat split; auto; lra | try ring; try (field; repeat split; auto; lra)].

Ltac roots x :=
  assert (0 < sqrt x) by (now apply sqrt_lt_R0); assert (sqrt x * sqrt x = x) by (apply sqrt_sqrt; lra);
  auto_derive; [repeat split; auto; lra |]; set (s := sqrt x) in *; clearbody s; subst x; field; lra.

Lemma der_ok k f x : (k < 3)%nat -> domain f x -> is_derive (der k f) x (der (S k) f x).
Proof.
  intros Hk. assert (K : k = 0%nat \/ k = 1%nat \/ k = 2%nat) by lia. clear Hk.
  destruct f; intros Hx; simpl in Hx; destruct K as [-> | [-> | ->]]; cbv beta iota zeta delta [der pick];
    try solve [easy_derive]; try solve [apply tanh_derive | apply logistic_derive | apply softplus_derive].
  1-3: roots x.
  - replace (/ (1 + x * x)) with (/ (1 + x ^ 2)) by (f_equal; ring). apply is_derive_Reals, derivable_pt_lim_atan.
  - assert (0 <= x * x) by nra. easy_derive.
  - assert (0 <= x * x) by nra. easy_derive.
  - eapply (after tanh (fun y => 1 - y * y)); [apply tanh_derive | auto_derive; [exact I | reflexivity] | ring].
  - eapply (after tanh (fun y => -2 * (y * (1 - y * y)))); [apply tanh_derive | auto_derive; [exact I | reflexivity] | ring].
  - eapply (after logistic (fun s => s * (1 - s))); [apply logistic_derive | auto_derive; [exact I | reflexivity] | ring].
  - eapply (after logistic (fun s => s * (1 - s) * (1 - 2 * s))); [apply logistic_derive | auto_derive; [exact I | reflexivity] | ring].
  - eapply (after logistic (fun s => s * (1 - s))); [apply logistic_derive | auto_derive; [exact I | reflexivity] | ring].
  - apply erf_derive.
  - replace (-2 * (x * (erf_scale * bell x))) with (erf_scale * (-2 * x * bell x)) by ring. exact (is_derive_scal bell x erf_scale _ (bell_derive x)).
  - apply (is_derive_ext (fun x => -2 * erf_scale * (x * bell x))). { intros t. simpl. ring. }
    replace ((4 * (x * x) - 2) * (erf_scale * bell x)) with (-2 * erf_scale * (1 * bell x + x * (-2 * x * bell x))) by ring.
    apply (is_derive_scal (fun x => x * bell x)). apply (is_derive_mult (fun x => x) bell); [apply (is_derive_id (K := R_AbsRing)) | apply bell_derive | intros; apply Rmult_comm].
Qed.

Fixpoint value (e : formula) (t : R) : R :=
  match e with
  | Var => t | Num q => Q2R q | Pi => PI | Plus a b => value a t + value b t | Times a b => value a t * value b t
  | Square a => value a t * value a t | Call f a => der 0 f (value a t)
  end.

Fixpoint first (e : formula) (t : R) : R :=
  match e with
  | Var => 1 | Num _ | Pi => 0 | Plus a b => first a t + first b t
  | Times a b => first a t * value b t + value a t * first b t
  | Square a => 2 * (value a t * first a t)
  | Call f a => der 1 f (value a t) * first a t
  end.

Fixpoint second (e : formula) (t : R) : R :=
  match e with
  | Var | Num _ | Pi => 0 | Plus a b => second a t + second b t
  | Times a b => second a t * value b t + 2 * (first a t * first b t) + value a t * second b t
  | Square a => 2 * (first a t * first a t + value a t * second a t)
  | Call f a => der 2 f (value a t) * (first a t * first a t) + der 1 f (value a t) * second a t
  end.

Fixpoint third (e : formula) (t : R) : R :=
  match e with
  | Var | Num _ | Pi => 0 | Plus a b => third a t + third b t
  | Times a b => third a t * value b t + 3 * (second a t * first b t + first a t * second b t) + value a t * third b t
  | Square a => 6 * (first a t * second a t) + 2 * (value a t * third a t)
  | Call f a => der 3 f (value a t) * (first a t * (first a t * first a t)) +
      3 * (der 2 f (value a t) * (first a t * second a t)) + der 1 f (value a t) * third a t
  end.

(* Where every part of a formula is defined. *)
Fixpoint good (e : formula) (t : R) : Prop :=
  match e with
  | Var | Num _ | Pi => True | Plus a b | Times a b => good a t /\ good b t | Square a => good a t
  | Call f a => good a t /\ domain f (value a t)
  end.

Lemma d_const (c : R) t : is_derive (fun _ : R => c) t 0.
Proof. exact (is_derive_const (V := R_NormedModule) c t). Qed.

Lemma d_plus f g t a b : is_derive f t a -> is_derive g t b -> is_derive (fun t => f t + g t) t (a + b).
Proof. intros Hf Hg. exact (is_derive_plus f g t a b Hf Hg). Qed.

Lemma d_times f g t a b l : is_derive f t a -> is_derive g t b -> l = a * g t + f t * b -> is_derive (fun t => f t * g t) t l.
Proof. intros Hf Hg ->. apply (is_derive_mult f g t a b Hf Hg). intros; apply Rmult_comm. Qed.

Lemma d_scaled c f t a l : is_derive f t a -> l = c * a -> is_derive (fun t => c * f t) t l.
Proof. intros Hf ->. exact (is_derive_scal f t c a Hf). Qed.

Lemma d_call k f v t a l : (k < 3)%nat -> domain f (v t) -> is_derive v t a -> l = der (S k) f (v t) * a -> is_derive (fun t => der k f (v t)) t l.
Proof. intros Hk Hd Hv ->. apply (after v (der k f) t a (der (S k) f (v t))); auto using der_ok. apply Rmult_comm. Qed.

Lemma value_derive e t : good e t -> is_derive (value e) t (first e t).
Proof.
  induction e as [| | | a IHa b IHb | a IHa b IHb | a IHa | f a IHa]; cbn [value first good]; intros H.
  - apply (is_derive_id t).
  - apply d_const.
  - apply d_const.
  - apply d_plus; tauto.
  - eapply d_times. apply IHa; tauto. apply IHb; tauto. reflexivity.
  - eapply d_times. apply IHa; tauto. apply IHa; tauto. ring.
  - eapply d_call. lia. apply H. apply IHa, H. reflexivity.
Qed.

Lemma first_derive e t : good e t -> is_derive (first e) t (second e t).
Proof.
  induction e as [| | | a IHa b IHb | a IHa b IHb | a IHa | f a IHa]; cbn [first second good]; intros H.
  - apply d_const.
  - apply d_const.
  - apply d_const.
  - apply d_plus; tauto.
  - evar_last. apply d_plus.
    + eapply d_times. apply IHa; tauto. apply value_derive; tauto. reflexivity.
    + eapply d_times. apply value_derive; tauto. apply IHb; tauto. reflexivity.
    + ring.
  - eapply d_scaled. eapply d_times. apply value_derive, H. apply IHa, H. reflexivity. ring.
  - eapply d_times. eapply (d_call 1). lia. apply H. apply value_derive, H. reflexivity. apply IHa, H. ring.
Qed.

Lemma second_derive e t : good e t -> is_derive (second e) t (third e t).
Proof.
  induction e as [| | | a IHa b IHb | a IHa b IHb | a IHa | f a IHa]; cbn [second third good]; intros H.
  - apply d_const.
  - apply d_const.
  - apply d_const.
  - apply d_plus; tauto.
  - evar_last. apply d_plus; [apply d_plus |].
    + eapply d_times. apply IHa; tauto. apply value_derive; tauto. reflexivity.
    + eapply d_scaled. eapply d_times. apply first_derive; tauto. apply first_derive; tauto. reflexivity. reflexivity.
    + eapply d_times. apply value_derive; tauto. apply IHb; tauto. reflexivity.
    + ring.
  - eapply d_scaled. apply d_plus.
    + eapply d_times. apply first_derive, H. apply first_derive, H. reflexivity.
    + eapply d_times. apply value_derive, H. apply IHa, H. reflexivity.
    + ring.
  - evar_last. apply d_plus.
    + eapply d_times. eapply (d_call 2). lia. apply H. apply value_derive, H. reflexivity.
      eapply d_times. apply first_derive, H. apply first_derive, H. reflexivity. reflexivity.
    + eapply d_times. eapply (d_call 1). lia. apply H. apply value_derive, H. reflexivity. apply IHa, H. reflexivity.
    + ring.
Qed.
