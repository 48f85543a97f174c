"""Steps of torch's and optax's optimizers on scalar quadratics, as the test in src/simulation/stepper.rs reads them.

    pip install torch optax jax numpy
    python make.py > steps.txt

A line: specification, learning rate, curvature, preconditioner, start, velocity at the start, then the iterates of five steps. The
velocity is what a step takes, after any division: RMSProp divides what enters its memory, Adam what leaves it.
torch starts its momentum buffer with the first gradient, whatever the dampening; here it is given, as in the middle of a training. The
second moment of Adam and RMSProp is put back before each step so that it comes out as given: frozen.
"""
import jax
import numpy as np
import optax
import torch

jax.config.update("jax_enable_x64", True)
STEPS = 5
ETA, CURVATURE, START, VELOCITY = 0.3, 1.7, 0.9, -0.4


def line(specification, preconditioner, iterates, divisor=1.0):
    numbers = [ETA, CURVATURE, preconditioner, START, VELOCITY / divisor, *iterates]
    print(specification, *(repr(float(x)) for x in numbers))


def torch_steps(make, state, before_step=lambda state, gradient: None):
    w = torch.tensor([START], dtype=torch.float64, requires_grad=True)
    optimizer = make([w])
    optimizer.state[w].update(state())
    iterates = []
    for _ in range(STEPS):
        w.grad = CURVATURE * w.detach().clone()
        before_step(optimizer.state[w], w.grad)
        optimizer.step()
        iterates.append(w.item())
    return iterates


def sgd(**options):
    buffer = lambda: {"momentum_buffer": torch.tensor([VELOCITY], dtype=torch.float64)}
    return torch_steps(lambda w: torch.optim.SGD(w, lr=ETA, **options), buffer if options.get("momentum") else dict)


def frozen(make, second, beta2, average, second_moment):
    """Runs torch with the second moment put back so that its root plus eps, after the step's own update, is as given."""

    def before_step(state, gradient):
        state[second] = (torch.tensor([second_moment], dtype=torch.float64) - (1 - beta2) * gradient**2) / beta2

    return torch_steps(make, average, before_step)


def optax_steps(transform, with_trace):
    w = jax.numpy.array(START)
    state = transform.init(w)
    state = with_trace(state)
    iterates = []
    for _ in range(STEPS):
        updates, state = transform.update(CURVATURE * w, state, w)
        w = optax.apply_updates(w, updates)
        iterates.append(float(w))
    return iterates


print(f"# torch {torch.__version__} optax {optax.__version__} jax {jax.__version__} numpy {np.__version__}")
line("sgd", 1.0, sgd())
line("sgd:weight_decay=0.2", 1.0, sgd(weight_decay=0.2))
line("sgd:momentum=0.8", 1.0, sgd(momentum=0.8))
line("sgd:momentum=0.8,dampening=0.3,weight_decay=0.2", 1.0, sgd(momentum=0.8, dampening=0.3, weight_decay=0.2))
line("sgd:momentum=0.8,nesterov=true", 1.0, sgd(momentum=0.8, nesterov=True))
line("sgd:momentum=0.8,nesterov=true,weight_decay=0.2", 1.0, sgd(momentum=0.8, nesterov=True, weight_decay=0.2))

EPS, SECOND = 1e-3, 0.6
DENOMINATOR = SECOND**0.5 + EPS
moments = lambda: {
    "step": torch.tensor(1e6),
    "exp_avg": torch.tensor([VELOCITY], dtype=torch.float64),
    "exp_avg_sq": torch.zeros(1, dtype=torch.float64),
}
for decay in (0.0, 0.2):
    make = lambda w: torch.optim.AdamW(w, lr=ETA, betas=(0.8, 0.99), eps=EPS, weight_decay=decay)
    line(f"adamw:beta1=0.8,weight_decay={decay}", DENOMINATOR, frozen(make, "exp_avg_sq", 0.99, moments, SECOND), DENOMINATOR)
make = lambda w: torch.optim.Adam(w, lr=ETA, betas=(0.8, 0.99), eps=EPS)
line("adam:beta1=0.8", DENOMINATOR, frozen(make, "exp_avg_sq", 0.99, moments, SECOND), DENOMINATOR)
rms = lambda: {
    "step": torch.tensor(1e6),
    "square_avg": torch.zeros(1, dtype=torch.float64),
    "momentum_buffer": torch.tensor([VELOCITY], dtype=torch.float64),
}
make = lambda w: torch.optim.RMSprop(w, lr=ETA, alpha=0.99, eps=EPS, momentum=0.8)
line("rmsprop:momentum=0.8", DENOMINATOR, frozen(make, "square_avg", 0.99, rms, SECOND))

trace = lambda state: (state[0]._replace(trace=jax.numpy.array(VELOCITY)), *state[1:])
line("sgd:momentum=0.8", 1.0, optax_steps(optax.sgd(ETA, momentum=0.8), trace))
line("sgd:momentum=0.8,nesterov=true", 1.0, optax_steps(optax.sgd(ETA, momentum=0.8, nesterov=True), trace))
decayed = optax.chain(optax.trace(0.8), optax.add_decayed_weights(0.2), optax.scale(-ETA))
line("sgdw:momentum=0.8,weight_decay=0.2", 1.0, optax_steps(decayed, trace))
average = optax.chain(optax.ema(0.8, debias=False), optax.scale(-ETA))
line("ema:beta1=0.8", 1.0, optax_steps(average, lambda state: (state[0]._replace(ema=jax.numpy.array(VELOCITY)), *state[1:])))

# A rule of neither, by its definition (Ma and Yarats 2019, equation (1)).
def quasi_hyperbolic(momentum, nu):
    w, v, iterates = START, VELOCITY, []
    for _ in range(STEPS):
        gradient = CURVATURE * w
        v = momentum * v + (1 - momentum) * gradient
        w -= ETA * ((1 - nu) * gradient + nu * v)
        iterates.append(w)
    return iterates


line("qhm:momentum=0.8,nu=0.6", 1.0, quasi_hyperbolic(0.8, 0.6))
