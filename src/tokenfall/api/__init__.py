"""Routes, access checks and handlers of the chat, the simulator and the providers' APIs."""
