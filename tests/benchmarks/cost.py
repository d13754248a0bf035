"""Hours and money of embedding 10^6, 10^8 and 10^10 images: `python -m tests.benchmarks.cost --rate R --price P`."""

import argparse

from dinoclip_viz.scale.cost import cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, required=True, help="images per second of one machine")
    parser.add_argument("--price", type=float, required=True, help="of one machine per hour")
    parser.add_argument("--values", type=int, default=768, help="values stored per image (%(default)s)")
    arguments = parser.parse_args()
    print("| images | machine hours | money | store, GB |\n|---|---|---|---|")
    for power in (6, 8, 10):
        found = cost(10**power, arguments.rate, arguments.price, arguments.values)
        print(f"| 10^{power} | {found.hours:,.1f} | {found.money:,.2f} | {found.gigabytes:,.1f} |")


if __name__ == "__main__":
    main()
