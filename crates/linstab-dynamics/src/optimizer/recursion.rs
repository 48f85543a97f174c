//! The linear recursion of an optimizer that remembers one vector besides the iterate.

/// What an optimizer does next to a minimum, as five numbers and a decay.
///
/// With the gradient that it sees, `G = (H_t + coupled_decay) w` (`H_t` the curvature of the batch, `w` the distance from the minimum),
/// and a memory `u`, a step at learning rate `eta` is
///
/// ```text
/// u+ = memory * u + eta * input * G
/// w+ = (1 - eta * decoupled_decay) w - eta * direct * G - output * u+
/// ```
///
/// Heavy ball has `input = output = 1`, `direct = 0`; Nesterov's momentum, as frameworks have it, `direct = 1`, `output = memory`.
/// Decays have the unit of a curvature.
///
/// # Examples
/// ```
/// use linstab_dynamics::Optimizer;
/// let nesterov: Optimizer = "sgd:momentum=0.9,nesterov=true".parse()?;
/// let recursion = nesterov.recursion();
/// assert_eq!((recursion.memory, recursion.direct, recursion.output), (0.9, 1.0, 0.9));
/// // Gradient descent with it is stable up to 2 (1 + mu) / (1 + 2 mu).
/// assert!((recursion.noise_free_limit(1.0) - 2.0 * 1.9 / 2.8).abs() < 1e-15);
/// # Ok::<(), linstab_dynamics::optimizer::SpecificationError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recursion {
    /// Share of the memory that is kept: momentum.
    pub memory: f64,
    /// Weight of a gradient in the memory: 1, or 1 minus the dampening.
    pub input: f64,
    /// Weight of a gradient in the step, past the memory.
    pub direct: f64,
    /// Weight of the memory in the step.
    pub output: f64,
    /// Weight decay that is added to the gradient.
    pub coupled_decay: f64,
    /// Weight decay that shrinks the iterate.
    pub decoupled_decay: f64,
}

impl Recursion {
    /// Plain stochastic gradient descent: nothing is remembered.
    pub const SGD: Self =
        Self { memory: 0.0, input: 1.0, direct: 0.0, output: 1.0, coupled_decay: 0.0, decoupled_decay: 0.0 };

    /// Heavy ball.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Recursion::heavy_ball(0.0), Recursion::SGD);
    /// ```
    pub const fn heavy_ball(memory: f64) -> Self {
        Self { memory, ..Self::SGD }
    }

    /// Whether nothing is remembered: a step depends on the iterate alone.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert!(Recursion::SGD.is_memoryless() && !Recursion::heavy_ball(0.5).is_memoryless());
    /// ```
    pub fn is_memoryless(&self) -> bool {
        self.memory.abs() <= 0.0
    }

    /// Whether a step is that of plain SGD.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert!(Recursion::SGD.is_sgd());
    /// assert!(!Recursion { coupled_decay: 0.1, ..Recursion::SGD }.is_sgd());
    /// ```
    pub fn is_sgd(&self) -> bool {
        let [a, b, c] = [self.coupled_decay, self.decoupled_decay, self.response() - 1.0].map(f64::abs);
        self.is_memoryless() && a + b + c <= 0.0
    }

    /// What a step takes off the iterate at once, for each unit of `eta G`: `direct + output * input`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Recursion::heavy_ball(0.9).response(), 1.0);
    /// ```
    pub fn response(&self) -> f64 {
        self.direct + self.output * self.input
    }

    /// The factor by which a step multiplies a coordinate without memory, `1 - step`: `step` of curvature `h`.
    pub(crate) fn step(&self, learning_rate: f64, curvature: f64) -> f64 {
        learning_rate * (self.decoupled_decay + self.response() * (curvature + self.coupled_decay))
    }

    /// Trace and determinant of the step on the pair of iterate and memory, along a direction of curvature `h`.
    pub(crate) fn trace_and_determinant(&self, learning_rate: f64, curvature: f64) -> (f64, f64) {
        let decay = learning_rate * self.decoupled_decay;
        let pull = learning_rate * (curvature + self.coupled_decay);
        let trace = 1.0 + self.memory - decay - self.response() * pull;
        (trace, self.memory * (1.0 - decay - self.direct * pull))
    }

    /// Factor by which the mean square grows a step in the long run along a direction of this curvature, without noise.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Recursion::SGD.noise_free_growth(0.5, 1.0), 0.25);
    /// // Complex roots of z^2 - z/4 + 1/4, of squared modulus 1/4.
    /// assert_eq!(Recursion::heavy_ball(0.25).noise_free_growth(1.0, 1.0), 0.25);
    /// ```
    pub fn noise_free_growth(&self, learning_rate: f64, curvature: f64) -> f64 {
        if self.is_memoryless() {
            return (1.0 - self.step(learning_rate, curvature)).powi(2);
        }
        let (trace, determinant) = self.trace_and_determinant(learning_rate, curvature);
        let discriminant = trace * trace - 4.0 * determinant;
        if discriminant < 0.0 {
            determinant
        } else {
            let root = 0.5 * (trace.abs() + discriminant.sqrt());
            root * root
        }
    }

    /// The learning rate up to which a direction of this curvature is stable without noise, where a root of the step passes -1:
    /// `2 (1 + mu) / ((1 + mu) decoupled + (c + mu direct) (h + coupled))`, `c` the [response](Self::response); infinite if nothing pulls.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Recursion::heavy_ball(0.5).noise_free_limit(2.0), 1.5);
    /// ```
    pub fn noise_free_limit(&self, curvature: f64) -> f64 {
        2.0 * (1.0 + self.memory) / self.pull(curvature)
    }

    /// A learning rate up to which no change of curvatures from step to step, each at most this, lets a direction grow: without a memory
    /// the [noise-free limit](Self::noise_free_limit), with one `(1 - sqrt |mu|)^2` in the place of `2 (1 + mu)` there.
    ///
    /// Up to it every step is overdamped: heavy ball with `x = eta h <= (1 - sqrt mu)^2` maps the iterates with `w' >= sqrt(mu) w >= 0`
    /// into themselves, whatever `x` is next, and there the step `w' - w` only falls. Beyond it curvatures that change in step with the
    /// oscillation of the memory can pump it.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Recursion::SGD.overdamped_limit(2.0), 1.0);
    /// assert_eq!(Recursion::heavy_ball(0.25).overdamped_limit(2.0), 0.125);
    /// ```
    pub fn overdamped_limit(&self, curvature: f64) -> f64 {
        if self.memory.abs() <= 0.0 {
            return self.noise_free_limit(curvature);
        }
        (1.0 - self.memory.abs().sqrt()).powi(2) / self.pull(curvature)
    }

    fn pull(&self, curvature: f64) -> f64 {
        (1.0 + self.memory) * self.decoupled_decay
            + (self.response() + self.memory * self.direct) * (curvature + self.coupled_decay)
    }

    /// The same recursion where curvatures are counted in units of `unit`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// let decaying = Recursion { coupled_decay: 4.0, ..Recursion::SGD };
    /// assert_eq!(decaying.in_units_of(2.0).coupled_decay, 2.0);
    /// ```
    #[must_use]
    pub fn in_units_of(self, unit: f64) -> Self {
        Self {
            coupled_decay: self.coupled_decay / unit,
            decoupled_decay: self.decoupled_decay / unit,
            ..self
        }
    }
}
