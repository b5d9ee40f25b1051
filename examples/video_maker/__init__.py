"""The video maker: seven agents make a short video of a story they found in a text.

python -m examples.video_maker
"""
