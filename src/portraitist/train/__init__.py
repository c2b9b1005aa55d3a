"""Training generators: settings, the state, the terms of the game, and the one loop."""
