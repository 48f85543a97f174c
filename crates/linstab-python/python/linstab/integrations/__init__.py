"""Monitors for training loops that belong to somebody else, each imported by itself:

* :mod:`linstab.integrations.lightning`: a ``Callback`` of Lightning;
* :mod:`linstab.integrations.transformers`: a ``TrainerCallback`` of Hugging Face;
* :mod:`linstab.integrations.jax`: what to analyse in a loop of one's own, from parameters and an optax state.
"""
