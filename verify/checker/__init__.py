"""The trusted base: it judges certificates and shares no code with the prover, so some names are in both."""
