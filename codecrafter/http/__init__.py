"""What every REST edge shares. Imports no app."""
