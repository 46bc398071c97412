// Points and poses in space: dragging turns, the wheel zooms, the right button moves.

import {
  BufferAttribute, BufferGeometry, Color, GridHelper, LineBasicMaterial, LineSegments, PerspectiveCamera, Points,
  Quaternion, Scene, ShaderMaterial, Vector3, WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { button, colour, el, plain } from '../dom';
import { Frame } from '../model';
import { turbo } from '../pixels';
import { Want } from '../socket';
import { formatNumber, numbers, Numbers } from '../values';
import { Panel } from './panel';

const MOST = 200000;

const VERTEX = `
attribute float level; uniform float size; uniform vec3 ramp[9]; varying vec3 c;
void main() {
  float x = clamp(level, 0.0, 1.0) * 8.0;
  int i = int(min(floor(x), 7.0));
  c = mix(ramp[i], ramp[i + 1], x - float(i));
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  gl_PointSize = size;
}`;
const FRAGMENT = `
uniform bool disc; varying vec3 c;
void main() {
  vec2 d = gl_PointCoord - 0.5;
  if (disc && dot(d, d) > 0.25) discard;
  gl_FragColor = vec4(c, 1.0);
}`;

/** Whether the processor draws: then no smoothing, and only as often as it can. */
const software = (() => {
  let answer: boolean | null = null;
  return (): boolean => {
    if (answer !== null) return answer;
    const gl = document.createElement('canvas').getContext('webgl2');
    const about = gl?.getExtension('WEBGL_debug_renderer_info');
    answer = !!about && /swiftshader|llvmpipe|software/i.test(String(gl!.getParameter(about.UNMASKED_RENDERER_WEBGL)));
    gl?.getExtension('WEBGL_lose_context')?.loseContext();
    return answer;
  };
})();

export class PointsPanel extends Panel {
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(50, 1, 0.001, 1e6);
  private renderer: WebGLRenderer | null = null;
  private controls: OrbitControls | null = null;
  private readonly geometry = new BufferGeometry();
  private readonly axes = new BufferGeometry();
  private grid: GridHelper | null = null;
  private readonly material: ShaderMaterial;
  private fitted = false;
  /** Where the scene's own origin lies: the GPU's numbers have seven digits. */
  private origin = [0, 0, 0];
  private radius = 1;
  private due = false;
  /** Of the last picture: when it was asked for, and what tells that it is done. */
  private fence: { at: number; sync: WebGLSync } | null = null;
  private rest = 0;
  private drawn = '';
  private readonly scale = el('div', { class: 'legend-bar', hidden: true }, el('span'), el('i'), el('span'));
  private readonly observer = new ResizeObserver(() => this.size());

  constructor(...a: ConstructorParameters<typeof Panel>) {
    super(...a);
    const ramp = Array.from({ length: 9 }, (_, i) => { const [r, g, b] = turbo(0.08 + i * 0.105); return new Vector3(r, g, b).divideScalar(255); });
    this.material = new ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms: { size: { value: 2.5 }, disc: { value: false }, ramp: { value: ramp } } });
    this.camera.up.set(0, 0, 1);
    (this.scale.children[1] as HTMLElement).style.background = `linear-gradient(90deg, ${ramp.map((c) => `rgb(${c.clone().multiplyScalar(255).toArray().map(Math.round).join(' ')})`).join(',')})`;
    try {
      this.renderer = new WebGLRenderer({ antialias: !software(), preserveDrawingBuffer: true });
    } catch {
      this.say('This browser has no WebGL: choose Plot or Table.');
      return;
    }
    const canvas = this.renderer.domElement;
    this.body.append(canvas, this.scale);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener('change', () => this.render());
    const cloud = new Points(this.geometry, this.material), pose = new LineSegments(this.axes, new LineBasicMaterial({ vertexColors: true }));
    cloud.frustumCulled = pose.frustumCulled = false;
    this.scene.add(cloud, pose);
    this.tools.append(button('fit', 'See all (f)', () => this.fit()));
    this.observer.observe(this.body);
  }

  wants(): Want { return { max: MOST, first: 0 }; }

  show(frame: Frame | null): void {
    this.shown = frame;
    if (!this.renderer) return;
    const part = this.whole(frame);
    if (!frame || !part) return;
    const all = numbers(frame, part, this.stream.type);
    if (!all) return this.say('no numbers');
    const per = this.stream.components, shown = Math.floor(all.length / per);
    if (!shown) return this.say('empty');
    this.centre(all, per);
    this.arrange(all, per);
    if (!this.fitted) {
      this.fit();
      // The axes of poses are as long as suits what is seen.
      this.arrange(all, per);
    }
    this.say(null);
    this.note.textContent = plain(`${part.n} ${this.stream.role === 'pose' ? 'poses' : 'points'}${shown < part.n ? `, ${shown} shown` : ''}${this.stream.frame ? ` in ${this.stream.frame}` : ''}`);
    this.render();
  }

  private arrange(all: Numbers, per: number): void {
    if (this.stream.role === 'pose') this.poses(all); else this.cloud(all, per);
  }

  /** Moves the scene's origin to the first point, where that is far away for what is seen. */
  private centre(all: Numbers, per: number): void {
    const point = (at: number): number[] => [all[at], all[at + 1], per > 2 ? all[at + 2] : 0];
    let at = 0;
    while (at < all.length && !point(at).every(Number.isFinite)) at += per;
    if (at >= all.length) return;
    const p = point(at), by = p.map((v, k) => v - this.origin[k]);
    if (this.fitted && Math.hypot(...by) < 1000 * this.radius) return;
    this.origin = p;
    for (const v of this.controls ? [this.camera.position, this.controls.target, this.grid?.position] : []) v?.sub(new Vector3(...by));
  }

  private cloud(all: Numbers, per: number): void {
    const n = Math.floor(all.length / per), by = per > 3 ? 3 : 2;
    const reuse = this.geometry.getAttribute('position') as BufferAttribute | undefined;
    const fits = reuse && reuse.count === n;
    const position = fits ? reuse.array as Float32Array : new Float32Array(n * 3);
    const level = fits ? (this.geometry.getAttribute('level') as BufferAttribute).array as Float32Array : new Float32Array(n);
    const value = (i: number): number => all[i * per + (per > 2 ? by : 1)], [ox, oy, oz] = this.origin;
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < n; i++) {
      const at = i * per, v = value(i);
      position[i * 3] = all[at] - ox;
      position[i * 3 + 1] = all[at + 1] - oy;
      position[i * 3 + 2] = (per > 2 ? all[at + 2] : 0) - oz;
      if (!Number.isFinite(v)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    const span = high > low ? high - low : 1;
    for (let i = 0; i < n; i++) level[i] = Math.max(0, Math.min(1, (value(i) - low) / span)) || 0;
    if (fits) {
      reuse.needsUpdate = true;
      (this.geometry.getAttribute('level') as BufferAttribute).needsUpdate = true;
    } else {
      this.geometry.setAttribute('position', new BufferAttribute(position, 3));
      this.geometry.setAttribute('level', new BufferAttribute(level, 1));
    }
    // One value needs no colours to explain it, and none no legend.
    this.scale.hidden = low > high;
    this.scale.children[0].textContent = `${per > 3 ? 'value' : per > 2 ? 'z' : 'y'} ${formatNumber(low, null, 3)}`;
    this.scale.children[2].textContent = formatNumber(high, null, 3);
    for (const e of [this.scale.children[1], this.scale.children[2]]) (e as HTMLElement).hidden = low === high;
    this.material.uniforms.disc.value = n <= 5000;
    this.material.uniforms.size.value = (n > 50000 ? 1.5 : n > 5000 ? 2 : n > 500 ? 4 : 7) * devicePixelRatio;
  }

  private poses(all: Numbers): void {
    const n = Math.floor(all.length / 7), size = Math.min(0.5, this.radius / 4), [ox, oy, oz] = this.origin;
    const lines = new Float32Array(n * 18), colours = new Float32Array(n * 18), points = new Float32Array(n * 3);
    for (let i = 0; i < n; i++) {
      const at = i * 7, from = new Vector3(all[at] - ox, all[at + 1] - oy, all[at + 2] - oz);
      from.toArray(points, i * 3);
      const turn = new Quaternion(all[at + 3], all[at + 4], all[at + 5], all[at + 6]);
      [new Vector3(size, 0, 0), new Vector3(0, size, 0), new Vector3(0, 0, size)].forEach((axis, k) => {
        from.toArray(lines, i * 18 + k * 6);
        axis.applyQuaternion(turn).add(from).toArray(lines, i * 18 + k * 6 + 3);
        const c = new Color(['#ff4d4f', '#52c41a', '#4096ff'][k]);
        c.toArray(colours, i * 18 + k * 6);
        c.toArray(colours, i * 18 + k * 6 + 3);
      });
    }
    this.axes.setAttribute('position', new BufferAttribute(lines, 3));
    this.axes.setAttribute('color', new BufferAttribute(colours, 3));
    this.geometry.setAttribute('position', new BufferAttribute(points, 3));
    this.geometry.setAttribute('level', new BufferAttribute(new Float32Array(n).fill(0.2), 1));
    this.material.uniforms.disc.value = true;
    this.material.uniforms.size.value = 5 * devicePixelRatio;
  }

  /** Turns the camera so that all is seen, but for a few that lie far away. */
  fit(): void {
    const p = this.geometry.getAttribute('position') as BufferAttribute | undefined;
    if (!p || !this.controls) return;
    const center = new Vector3(), one = new Vector3();
    const values: number[][] = [[], [], []];
    const step = Math.max(1, Math.floor(p.count / 2000));
    for (let i = 0; i < p.count; i += step) {
      one.fromBufferAttribute(p, i);
      const point = one.toArray();
      if (point.every(Number.isFinite)) point.forEach((v, k) => values[k].push(v));
    }
    if (!values[0].length) return;
    const ends = values.map((v) => {
      v.sort((a, b) => a - b);
      const last = v.length - 1, few = v.length < 100 ? 0 : Math.floor(last * 0.03);
      const [all, most] = [[v[0], v[last]], [v[few], v[last - few]]];
      return all[1] - all[0] > 3 * (most[1] - most[0]) && few ? most : all;
    });
    center.fromArray(ends.map(([low, high]) => (low + high) / 2));
    const radius = this.radius = Math.hypot(...ends.map(([low, high]) => high - low)) / 2 || 0.75;
    const flat = this.stream.components === 2;
    const from = flat ? new Vector3(0, -0.001, 1) : new Vector3(-0.55, -0.85, 0.6);
    this.camera.position.copy(center).addScaledVector(from.normalize(), radius * 2.5);
    this.camera.near = radius / 1000;
    this.camera.far = radius * 1000;
    this.camera.updateProjectionMatrix();
    this.controls.target.copy(center);
    this.controls.update();
    this.fitted = true;
    this.floor(radius, center);
  }

  private floor(radius: number, center: Vector3): void {
    if (this.grid) { this.scene.remove(this.grid); this.grid.dispose(); }
    const cell = 10 ** Math.floor(Math.log10(radius));
    const lines = Math.min(60, 2 * Math.ceil((radius * 2) / cell));
    this.grid = new GridHelper(cell * lines, lines, colour('--grid-strong'), colour('--grid'));
    this.grid.rotation.x = Math.PI / 2;
    const [ox, oy, oz] = this.origin;
    this.grid.position.set(Math.round((center.x + ox) / cell) * cell - ox, Math.round((center.y + oy) / cell) * cell - oy, -oz);
    this.scene.add(this.grid);
  }

  private size(): void {
    const { clientWidth: w, clientHeight: h } = this.body;
    if (!this.renderer || w === 0 || h === 0) return;
    this.renderer.setPixelRatio(software() ? 1 : Math.min(2, devicePixelRatio || 1));
    this.renderer.setSize(w, h);
    this.camera.aspect = w / h;
    this.camera.updateProjectionMatrix();
    this.render();
  }

  private render(): void {
    if (this.due || !this.renderer) return;
    this.due = true;
    const attempt = (): void => {
      if (!this.renderer) return;
      if (this.busy()) return void setTimeout(() => requestAnimationFrame(attempt), 10);
      this.due = false;
      this.paint(this.renderer);
    };
    requestAnimationFrame(attempt);
  }

  /** Whether the last picture is not done yet, or took so long that others need a turn. */
  private busy(): boolean {
    const now = performance.now();
    if (this.fence) {
      const gl = this.renderer!.getContext() as WebGL2RenderingContext;
      if (gl.clientWaitSync(this.fence.sync, 0, 0) === gl.TIMEOUT_EXPIRED) return true;
      gl.deleteSync(this.fence.sync);
      const took = now - this.fence.at;
      this.rest = took > 40 ? now + took : 0;
      this.fence = null;
    }
    return now < this.rest;
  }

  private paint(renderer: WebGLRenderer): void {
    const theme = document.documentElement.dataset.theme ?? '';
    if (theme !== this.drawn) {
      this.drawn = theme;
      this.scene.background = new Color(colour('--well'));
      if (this.fitted && this.controls) this.floor(this.radius, this.controls.target);
    }
    renderer.render(this.scene, this.camera);
    const gl = renderer.getContext() as WebGL2RenderingContext;
    const sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    if (sync) this.fence = { at: performance.now(), sync };
  }

  redraw(): void { this.render(); }
  dispose(): void {
    this.observer.disconnect();
    this.controls?.dispose();
    this.geometry.dispose();
    this.axes.dispose();
    this.material.dispose();
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
    this.renderer = null;
  }
  protected canvas(): HTMLCanvasElement | null { return this.renderer?.domElement ?? null; }
}
