"""Three agents of the video maker as they are usually written: with a retry loop each.

python -m examples.video_maker.before
"""
