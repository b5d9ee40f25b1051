"""The comic maker: a novel becomes scenes, scripts, panels and stored pages.

python -m examples.comic_maker
"""
