"""Recipes of chapter three, self-distillation and bags of visual words. gpu: published CIFAR-10 recipes where there are any."""

# method -> profile -> recipe
RECIPES = {}
