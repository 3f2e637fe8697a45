"""The trusted base: judges certificates and shares no code with the prover, so some names occur in both."""
