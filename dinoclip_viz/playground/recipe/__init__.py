"""How the embedded models were trained: images drawn once, then `clip`, `dino` and `projectors`, each resumable."""
