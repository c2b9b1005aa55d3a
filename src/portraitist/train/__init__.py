"""Training of generators, encoders and translators: settings, states, losses and the one loop."""
