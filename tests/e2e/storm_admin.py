def part_usage(parts, options):
    pass
def part_admin(parts, options):
    pass
