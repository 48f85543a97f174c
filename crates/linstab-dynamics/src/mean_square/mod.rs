//! Exact mean-square stability of any ensemble of per-sample curvatures.
//!
//! # The second-moment map
//!
//! Heavy ball with momentum `beta` (0 for plain SGD) next to the minimum `w = 0` is
//! `w+ = w - eta H_t w + beta (w - w_prev)`. In the eigenbasis of the mean curvature, `H = diag(h)`, write `P = E w w^T`,
//! `R = E w w_prev^T`, `P' = E w_prev w_prev^T` and `c_a = 1 + beta - eta h_a`. With
//!
//! ```text
//! N(X) = E H_t X H_t - H X H = (a - 1) H X H + (b/n) sum_i H_i X H_i        a, b: the two numbers of the scheme
//! ```
//!
//! one step maps, entry by entry,
//!
//! ```text
//! P+_ab  = c_a c_b P_ab + eta^2 N(P)_ab - beta (c_a R_ab + c_b R_ba) + beta^2 P'_ab
//! R+_ab  = c_a P_ab - beta R_ba
//! P'+    = P
//! ```
//!
//! # Eigenvalues of the map
//!
//! For an eigenvalue `g` the last two lines give `P' = P / g` and `R_ab = (g c_a - beta c_b) P_ab / (g^2 - beta^2)`. Inserted
//! into the first, they leave a problem for the symmetric matrix `P` alone:
//!
//! ```text
//! d(g)_ab P_ab = eta^2 N(P)_ab
//! d(g)_ab = g - c_a c_b + beta (g (c_a^2 + c_b^2) - 2 beta c_a c_b) / (g^2 - beta^2) - beta^2 / g
//! ```
//!
//! # The threshold
//!
//! The map takes positive semidefinite second moments of `(w, w_prev)` to such, so its spectral radius is an eigenvalue (Krein and
//! Rutman), and stability is lost where that passes `g = 1`. There `d(1) = eta w1 - eta^2 w2` with
//!
//! ```text
//! w1_ab = (1 - beta) (h_a + h_b)
//! w2_ab = h_a h_b - beta (h_a^2 + h_b^2 - 2 beta h_a h_b) / (1 - beta^2)
//! ```
//!
//! so `w1 o P = eta (N + w2 o) P` (`o` entrywise), and the smallest such `eta` is, **in closed form**,
//!
//! ```text
//! eta* = 1 / lambda_max( w1^{-1/2} o (N + w2 o) o w1^{-1/2} )
//! ```
//!
//! For `beta = 0` this is `2 / lambda_max(C^{-1} D)` of Mulayoff and Michaeli (2024), with `C = (H X + X H)/2` and
//! `D = E H_t X H_t`. For momentum we know of no earlier source: the derivation above is ours, and the tests check it against
//! the spectral radius of `E[M (x) M]` by enumeration. Nesterov's momentum, dampening, weight decay and every other optimizer with one
//! memory have `1 / s` in the place of `d(1) / eta^2`: see `memory_kernel`. In one dimension it reads
//! `eta* = 2 / ( l / (1 + beta) + s^2 / (l (1 - beta)) )` with mean `l` and batch variance `s^2`.

mod batch_ascent;
mod batch_size;
mod blocks;
mod bounds;
mod certificate;
mod columns;
mod critical_moment;
mod derived;
mod family;
mod gradient_noise;
mod growth;
mod influence;
mod memory_kernel;
mod noise_floor;
mod operator;
mod responsible_samples;
mod sample_space;
mod solver;
mod subset;
mod subspace;
mod tail;
mod threshold;
mod tracker;

pub use batch_ascent::{BatchAscentSam, EnumeratedBatches};
pub use bounds::NecessaryConditions;
pub use gradient_noise::GradientNoise;
pub use influence::Influences;
pub(crate) use memory_kernel::{growth_defect, scalar_threshold};
pub use noise_floor::NoiseFloor;
pub use responsible_samples::ResponsibleSamples;
pub use solver::{TOLERANCES, ThresholdSolver};
pub use threshold::{CertificateKind, MeanSquare, Threshold};
pub use tracker::ThresholdTracker;
