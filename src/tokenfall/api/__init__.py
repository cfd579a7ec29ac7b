"""Routes and what guards them: HTTP's side of the chat and of the simulator."""
