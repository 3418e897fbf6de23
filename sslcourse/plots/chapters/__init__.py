"""Drawings that one chapter of the course needs; general figures lie beside this folder."""
