"""How the embedded models were trained: pictures drawn once, then `clip`, `dino` and `projectors`, each resumable."""
