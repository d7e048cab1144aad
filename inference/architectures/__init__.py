"""One module per network; `inference.checkpoint` names them for the manifest."""
