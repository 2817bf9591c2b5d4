"""From INI files and overrides to one checked, frozen Config. Standard library only, so that a mistake answers at once."""
